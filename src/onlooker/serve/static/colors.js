// One color for each class, the same in every part of the page and after it is opened again.

const SIZE = 10; // colors --class-0 … --class-9 in base.css
const KEY = "onlooker-colors";
const order = JSON.parse(localStorage.getItem(KEY) ?? "[]");
const keep = () => localStorage.setItem(KEY, JSON.stringify(order.slice(-500)));
const quiet = new Set(); // names, as the server says, of the class in which nothing happens

/** Takes a name of the class in which nothing happens, such as "nothing" or "none". */
export const rememberQuiet = (name) => quiet.add(name);
export const isQuiet = (name) => quiet.has(name);

/** Gives classes their colors in this order; those that already have one keep it. */
export function rememberClasses(names) {
  const added = names.filter((name) => !isQuiet(name) && !order.includes(name));
  order.push(...added);
  if (added.length) keep();
}

/** A class that was renamed keeps its color. */
export function rememberRenamed(from, to) {
  const [at, old] = [order.indexOf(from), order.indexOf(to)];
  if (at < 0 || isQuiet(to)) return;
  if (old >= 0) order[old] = "";
  order[at] = to;
  keep();
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
