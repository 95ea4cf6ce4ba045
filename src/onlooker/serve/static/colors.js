// One color for each class, the same in every part of the page, in every browser, and after a restart.

const SIZE = 10; // colors --class-0 … --class-9 in base.css
let own = []; // classes of the project in the order of their colors, which the server keeps
const others = new Map(); // places of classes that only models have
const quiet = new Set(); // names, as the server says, of the class in which nothing happens

/** Takes a name of the class in which nothing happens, such as "nothing" or "none". */
export const rememberQuiet = (name) => quiet.add(name);
export const isQuiet = (name) => quiet.has(name);

/** Takes the project's classes in the order of their colors. */
export const setColors = (names) => { own = names; };

/** The CSS color of a class; that in which nothing happens is gray. */
export function colorOf(name) {
  if (!name || isQuiet(name)) return "var(--nothing)";
  if (!own.includes(name) && !others.has(name)) others.set(name, own.length + others.size);
  return `var(--class-${(own.includes(name) ? own.indexOf(name) : others.get(name)) % SIZE})`;
}

/** The same as a value that the context of `canvas` understands. */
export function canvasColor(name, canvas) {
  canvas.style.color = colorOf(name);
  return getComputedStyle(canvas).color;
}

/** `jumping_jack` as people write it. */
export const spoken = (name) => name.replaceAll("_", " ");
