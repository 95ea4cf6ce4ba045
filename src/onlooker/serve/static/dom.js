// Elements, texts and messages: what every part of the page is built with.

const TEXTS = JSON.parse(document.getElementById("texts").textContent);
const SVG = new Set(["svg", "path"]);

/** The text of a key such as "look.drop", with {names} replaced; "name.one" and "name.other" by `count`. */
export function t(key, values = {}) {
  let text = key.split(".").reduce((node, part) => node?.[part], TEXTS);
  if (text && typeof text === "object") text = values.count === 1 ? text.one : text.other;
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

const isShown = (value) => (value ?? false) !== false;
const real = (children) => children.flat(Infinity).filter(isShown);

/** An element: `h("button.big", {onclick}, "text", child)`; SVG elements are made in their namespace. */
export function h(selector, props = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  element.append(...real(children));
  for (const [name, value] of Object.entries(props)) setProperty(element, name, value); // a list knows its options
  return element;
}

function setProperty(element, name, value) {
  if (!isShown(value)) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name.startsWith("--")) element.style.setProperty(name, value);
  else if (name === "value" || name === "muted" || name === "checked") element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

/** Replaces what a panel or a slot shows. */
export function show(parent, ...children) {
  parent.replaceChildren(...real(children));
}

const ICONS = {
  closer: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12m4.5 10.5L20 20M10 7.5v5M7.5 10h5",
  wider: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12m4.5 10.5L20 20M7.5 10h5",
  play: "M8 5v14l11-7z", pause: "M7 5h4v14H7zM13 5h4v14h-4z", back: "M15 5 8 12l7 7", forward: "m9 5 7 7-7 7",
  camera: "M4.5 6h9L15 7.5v9L13.5 18h-9L3 16.5v-9zM15 10l6-3v10l-6-3z", upload: "M12 16V4m-5 5 5-5 5 5M4 20h16",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13", undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  pen: "M4 20l1-4L16 5l3 3L8 19z",
  plus: "M12 5v14M5 12h14", close: "M6 6l12 12M18 6 6 18",
  download: "M12 4v12m-5-5 5 5 5-5M4 20h16", warn: "M12 4 2.5 20h19zM12 10v4m0 3h.01",
};

export function icon(name) {
  const filled = name === "play" || name === "pause";
  return h(filled ? "svg.glyph.filled" : "svg.glyph", { viewBox: "0 0 24 24", "aria-hidden": "true" },
    h("path", { d: ICONS[name] }));
}

/** A button with an icon; `label` is read aloud, and shown unless `iconOnly`. */
export function button(glyph, label, onclick, { kind = "quiet", iconOnly = false, ...props } = {}) {
  const inside = [glyph && icon(glyph), iconOnly ? null : h("span", {}, label)];
  const names = iconOnly ? { "aria-label": label, title: label } : {};
  return h(`button.${kind}${iconOnly ? ".icon" : ""}`, { type: "button", onclick, ...names, ...props }, inside);
}

export const VIDEOS = "video/*,.mkv,.avi,.gif"; // files that can be chosen as clips

/** A button that lets files be chosen, and its hidden input: `take(input)` is called when it has files. */
export function fileButton(label, take, props, options) {
  const input = h("input.unseen", { type: "file", multiple: true, tabindex: -1, "aria-label": label, ...props,
    onchange: () => { take(input); input.value = ""; } });
  return [input, button("upload", label, () => input.click(), options)];
}

/** Lets files be dropped on an element, which has the class `dropping` meanwhile: `take(transfer)` gets them. */
export function takeDrops(element, take) {
  element.addEventListener("dragover", (event) => { event.preventDefault(); element.classList.add("dropping"); });
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget)) element.classList.remove("dropping");
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    for (const each of document.querySelectorAll(".dropping")) each.classList.remove("dropping");
    take(event.dataTransfer);
  });
}

/** A phrase of the server as a sentence: "no video" becomes "No video." */
export function sentence(text) {
  const whole = text.trim();
  const start = /^[a-z’']+[ ,]/.test(whole) ? whole.charAt(0).toUpperCase() : whole.charAt(0); // names of files stay
  return start + whole.slice(1) + (/[.!?…]$/.test(whole) ? "" : ".");
}

/** A text with `code` in it, as nodes. */
export const rich = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

/** An error as a card: what was found, what was expected, what to do. */
export function errorCard({ found, expected, remedy }, ...actions) {
  return h("div.error", { role: "alert" }, icon("warn"),
    h("div", {}, h("p.found", {}, rich(sentence(found || t("error.unknown")))),
      expected && h("p", {}, rich(t("error.expected", { expected }))),
      remedy && h("p.remedy", {}, rich(sentence(remedy))),
      actions.length ? h("div.row", {}, actions) : null));
}

/** Shows a message, in place of an equal one or the oldest of three; `action`: a button's name and what it does. */
export function toast(text, { error = false, action = null } = {}) {
  const act = () => { box.remove(); action[1](); };
  const box = h(error ? "div.toast.bad" : "div.toast", {}, h("span", {}, rich(text)),
    action && h("button.link", { type: "button", onclick: act }, action[0]),
    button("close", t("close"), () => box.remove(), { iconOnly: true }));
  const list = document.getElementById("toasts");
  for (const each of [...list.children]) if (each.textContent === box.textContent) each.remove();
  while (list.children.length > 2) list.firstChild.remove();
  list.append(box);
  const end = () => (box.matches(":hover, :focus-within") ? setTimeout(end, 3000) : box.remove());
  setTimeout(end, error || action ? 12000 : 6000);
  return box;
}

/** An error in a line: what was found, what to do. */
export const errorText = ({ found, message, remedy }) =>
  [found ?? message, remedy].filter(Boolean).map(sentence).join(" ");

/** Shows a failed request as a message; a lost server has its own banner. */
export function complain(error) {
  if (error.name === "AbortError" || error.code === "lost") return;
  toast(errorText(error), { error: true });
}

/** Has screen readers say something, unless something else is announced within `pause` milliseconds. */
export function announce(text, pause = 0) {
  clearTimeout(announce.waiting);
  announce.waiting = setTimeout(() => { document.getElementById("announcer").textContent = text; }, pause);
}

/** A dialog that closes with Escape, its button, or a click outside it. */
export function dialog(title, ...children) {
  const box = h("dialog", { "aria-label": title },
    h("div.title-row", {}, h("h2", {}, title), button("close", t("close"), () => box.close(), { iconOnly: true })),
      children);
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

export const seconds = (value) => t("seconds", { value: value < 9.95 ? value.toFixed(1) : Math.round(value) });
export const percent = (value) => `${Math.round(100 * value)}\u00a0%`;
export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Whether a key press belongs to a field or button rather than to the page. */
export function typing(event, { buttons = true } = {}) {
  const what = buttons ? "input, select, textarea, button, a, summary, dialog"
    : "input:not([type=range]), select, textarea, dialog";
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(what) !== null;
}

/** Makes `nodes` the children of `parent` without touching those that stay: videos in them play on. */
export function patch(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, i) => {
    if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null);
  });
}
