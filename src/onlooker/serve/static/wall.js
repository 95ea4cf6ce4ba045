// Clips as small moving previews, and what can be done with one of them.

import { colorOf, spoken } from "./colors.js";
import { button, dialog, h, icon, patch, seconds, still, t, toast } from "./dom.js";

const FIRST = 24; // clips of a class that are shown until one asks for all

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && !target.src) { // of thousands of clips only those that are seen are asked for
      target.poster = `/media/clip/${target.dataset.preview}.jpg`;
      target.src = `/media/clip/${target.dataset.preview}.mp4`;
    }
    if (isIntersecting && !still()) target.play().catch(() => {});
    else target.pause();
  }
}, { rootMargin: "80px" });

/** A small muted video of a clip (or of another address), which plays while it is visible; with reduced motion only under the pointer. */
export function preview(id, src = null) {
  const video = h("video",
    { "data-preview": id, src, playsinline: true, loop: true, muted: true, preload: src ? "metadata" : "none", "aria-hidden": "true",
    tabindex: -1 });
  video.addEventListener("pointerenter", () => video.play().catch(() => {}));
  video.addEventListener("pointerleave", () => still() && video.pause());
  watcher.observe(video);
  return video;
}

const describe = (clip, label) =>
  [spoken(label), clip.name, clip.seconds && seconds(clip.seconds), clip.hint && t("clip.hint")]
    .filter(Boolean).join(", ");

/** Tiles of a class's clips, kept while they stay the same; `remove(clip)`: what the key Delete does. */
export class Wall {
  constructor(open, remove = null) {
    Object.assign(this, { open, remove });
    this.tiles = new Map();
    this.list = h("ul.wall");
    this.more = h("button.link", { type: "button", hidden: true, onclick: () => {
      this.all = true;
      this.set(this.clips, this.label);
    } });
    this.element = h("div", {}, this.list, this.more);
  }

  set(clips, label) {
    Object.assign(this, { clips, label });
    const shown = this.all ? clips : clips.slice(-FIRST);
    const keys = new Map(shown.map((clip) => [`${clip.id} ${clip.hint ?? ""} ${clip.seconds ?? ""} ${label}`, clip]));
    for (const [key, tile] of this.tiles) {
      if (keys.has(key)) continue;
      watcher.unobserve(tile.querySelector("video"));
      this.tiles.delete(key);
    }
    for (const [key, clip] of keys) if (!this.tiles.has(key)) this.tiles.set(key, this.tile(clip, label));
    const focused = this.list.querySelector(":focus")?.dataset.clip;
    patch(this.list, [...keys.keys()].map((key) => this.tiles.get(key)));
    if (focused) this.list.querySelector(`[data-clip="${focused}"]`)?.focus(); // its tile may be another one now
    this.more.hidden = shown.length === clips.length;
    this.more.textContent = t("clip.more", { count: clips.length });
  }

  tile(clip, label) {
    const open = h("button.tile",
      { type: "button", "aria-label": describe(clip, label), "data-clip": clip.id,
      onclick: () => this.open(clip, label) },
      preview(clip.id), clip.seconds && h("span.length", {}, seconds(clip.seconds)),
        clip.hint && h("span.flag", { title: t("clip.hint") }, icon("warn")));
    const tile = h("li", {}, open);
    if (this.remove) open.addEventListener("keydown", (event) => {
      if (event.key !== "Delete" || event.repeat) return;
      const next = tile.nextElementSibling ?? tile.previousElementSibling ?? this.element.parentElement;
      next.querySelector("button").focus();
      this.remove(clip);
    });
    return tile;
  }
}

let closeDeleted = () => {};

/** Deletes a clip; a message offers to undo that, as long as it is the last change. */
export async function deleteClip(clip, page) {
  if (!await page.change("DELETE", `/api/project/clips/${clip.id}`)) return;
  const { undo } = page.project;
  const run = () => (page.project.undo === undo ? page.change("POST", "/api/project/undo")
    : toast(t("clip.not_last"), { error: true }));
  closeDeleted();
  closeDeleted = toast(t("clip.deleted", { name: clip.name }), { action: { label: t("undo"), run } });
}

/**
 * A list of classes as `[[name, text]]`, and a button that applies the chosen one: the arrow keys choose each class
 * that they pass.
 */
export function classChoice(label, classes, value, apply) {
  const select = h("select", { "aria-label": label, onchange: () => { set.disabled = select.value === value; } },
    classes.map(([name, text]) => h("option", { value: name }, text)));
  select.value = value;
  const set = button(null, t("clip.set_class"), () => apply(select.value), { disabled: true });
  return h("div.row", {}, select, set);
}

/** A clip in large: its class can be changed, and it can be deleted. */
export function clipDialog(clip, label, project, change) {
  const hints = project.hints.filter((hint) => hint.clips.includes(clip.id));
  const choice = classChoice(t("clip.class"), project.classes.map(({ name }) => [name, spoken(name)]), label, (to) => {
    box.close();
    change("POST", `/api/project/clips/${clip.id}/move`, { class: to });
  });
  const box = dialog(clip.name ?? spoken(label),
    h("video.large", { src: `/media/clip/${clip.id}/full.mp4`, poster: `/media/clip/${clip.id}.jpg`, controls: true,
      loop: true, autoplay: !still(), muted: true, playsinline: true, "--color": colorOf(label) }),
    hints.map((hint) => h("p.hint-line", {}, icon("warn"), hint.text)),
    h("div.row.spread", {}, h("div.field", {}, h("span", {}, t("clip.class")), choice),
      button("trash", t("clip.delete"), () => { box.close(); change("DELETE", `/api/project/clips/${clip.id}`); })));
  return box;
}

/** Clips (of `clipsById`) in a dialog, for example those of a cell of the confusion matrix. */
export function clipsDialog(title, clips, project, change) {
  const open = (clip, label) => { box.close(); clipDialog(clip, label, project, change); };
  const walls = [...new Set(clips.map((clip) => clip.label))].map((label) => {
    const wall = new Wall(open);
    wall.all = true;
    wall.set(clips.filter((clip) => clip.label === label), label);
    return wall.element;
  });
  const box = dialog(title, walls);
  return box;
}

/** The clips of a project by their ids. */
export const clipsById = (project) =>
  new Map(project.classes.flatMap(({ name, clips }) => clips.map((clip) => [clip.id, { ...clip, label: name }])));
