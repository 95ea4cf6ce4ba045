// One color for each class, the same in every part of the page.

const SIZE = 10; // colors --class-0 … --class-9 in base.css
const order = [];
const quiet = new Set(); // names, as the server says, of the class in which nothing happens

/** Takes a name of the class in which nothing happens, such as "nothing" or "none". */
export const rememberQuiet = (name) => quiet.add(name);

export const isQuiet = (name) => quiet.has(name);

/** Gives classes their colors in this order; those that already have one keep it. */
export function rememberClasses(names) {
  for (const name of names) if (!isQuiet(name) && !order.includes(name)) order.push(name);
}

/** The CSS color of a class; that in which nothing happens is gray. */
export function colorOf(name) {
  if (!name || isQuiet(name)) return "var(--nothing)";
  rememberClasses([name]);
  return `var(--class-${order.indexOf(name) % SIZE})`;
}

/** The same as a value that the context of `canvas` understands. */
export function canvasColor(name, canvas) {
  canvas.style.color = colorOf(name);
  return getComputedStyle(canvas).color;
}

/** `jumping_jack` as people write it. */
export const spoken = (name) => name.replaceAll("_", " ");
