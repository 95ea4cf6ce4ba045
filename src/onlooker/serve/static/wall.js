// Clips as tiles, and what can be done with one of them.

import { follow, get, send } from "./api.js";
import { colorOf, spoken } from "./colors.js";
import { button, complain, dialog, h, patch, show, still, t } from "./dom.js";
import { drawMoment, momentAt } from "./overlay.js";
import { Player } from "./player.js";

/** A still of a clip, which plays under the pointer. */
export function preview(id) {
  const play = ({ target }) => still() || target.append(h("video", { src: `media/clip/${id}.mp4`, muted: true,
    loop: true, autoplay: true, playsinline: true, "aria-hidden": "true" }));
  return h("span.preview",
    { onpointerenter: play, onpointerleave: ({ target }) => target.querySelector("video")?.remove() },
    h("img", { src: `media/clip/${id}.jpg`, alt: "", loading: "lazy" }));
}

const describe = ({ label, predicted, name }) => [spoken(label),
  predicted && t("clip.predicted", { label: spoken(predicted) }), name].filter(Boolean).join(", ");

/** Tiles of a class's clips, kept while they stay the same. */
export class Wall {
  constructor(open) {
    Object.assign(this, { open, tiles: new Map(), clips: [], older: [] });
    this.list = h("ul.wall");
    this.more = h("button.link", { type: "button", hidden: true, onclick: () => this.loadMore().catch(complain) });
    this.element = h("div", {}, this.list, this.more);
  }

  /** The last clips of a class, and how many there are; those that were loaded in addition stay. */
  set(clips, count = clips.length) {
    const last = this.clips.at(-1)?.id;
    const same = clips.some(({ id }) => id === last) && clips.length === this.clips.length && count === this.count;
    if (!same) this.older = [];
    Object.assign(this, { clips, count });
    this.update();
  }

  update() {
    const shown = [...this.clips, ...this.older];
    const keys = new Map(shown.map((clip) => [`${clip.id} ${clip.label}`, clip]));
    this.tiles = new Map([...keys].map(([key, clip]) => [key, this.tiles.get(key) ?? this.tile(clip)]));
    const focused = this.list.querySelector(":focus")?.dataset.clip;
    patch(this.list, [...this.tiles.values()]);
    if (focused) this.list.querySelector(`[data-clip="${focused}"]`)?.focus(); // its tile may be another one now
    this.more.hidden = shown.length >= this.count;
    this.more.textContent = t("clip.more", { count: this.count - shown.length });
  }

  async loadMore() {
    const all = await get(`api/project/clips?${new URLSearchParams({ class: this.clips[0].label })}`);
    const shown = new Set(this.clips.map(({ id }) => id));
    this.older = all.filter(({ id }) => !shown.has(id));
    this.update();
  }

  tile(clip) {
    return h("li", {}, h("button.tile",
      { type: "button", "aria-label": describe(clip), "data-clip": clip.id, onclick: () => this.open(clip) },
      preview(clip.id)),
    (clip.predicted ?? clip.label) !== clip.label && h("span.verdict", {},
      [clip.label, clip.predicted].map((label, i) => [i ? " → " : "", h("span.dot", { "--color": colorOf(label) }), spoken(label)])));
  }
}

/** Gives a clip a class: another one, or its own, which confirms it. */
export const setLabel = ({ id, name, label }, to, page) => page.changeAndTell(
  t(to === label ? "told.confirmed" : "told.moved", { name, label: spoken(to) }), "set_label", { clip_id: id, label: to });

/** A list of classes, and a button that applies the chosen one: the arrow keys choose each class that they pass. */
export function classChoice(name, classes, value, apply) {
  const check = () => { set.disabled = !select.value || select.value === value; };
  const select = h("select", { "aria-label": name, value, onchange: check },
    classes.map(([each, text]) => h("option", { value: each }, text)));
  const set = button(null, t("clip.set_class"), () => apply(select.value), { disabled: true });
  return h("div.row", {}, select, set);
}

/** Who is in a clip, or of which recording it is; clips of one are never on both sides of a test. */
function recordingField({ id, name }, page) {
  const options = h("datalist", { id: "recordings" });
  const input = h("input", { type: "text", list: "recordings", maxlength: 100, "aria-label": t("who.label"),
    onchange: ({ target: { value } }) => page.changeAndTell(t("told.who", { name, recording: value || "–" }),
      "set_recording", { clip_id: id, recording: value }) });
  get(`api/project/clips/${id}/recording`).then(({ recording, known }) => {
    input.value = recording;
    show(options, known.map((value) => h("option", { value })));
  }, complain);
  return h("label.field", { title: t("who.why") }, h("span", {}, t("who.label")), input, options);
}

/** Has the newest model look at a clip, and plays it with the heat map in place of `video`; not with the class: the
 *  model was trained with this clip. */
async function showHeat({ id }, page, video) {
  const run = new AbortController();
  const box = video.closest("dialog");
  box.addEventListener("close", () => run.abort());
  const path = `api/project/clips/${id}/look?model=${page.project.model}`;
  const result = await send("POST", path).then(({ job }) => follow(job, () => {}, { signal: run.signal })).catch(complain);
  if (!result || !box.open) return;
  const player = new Player((time) => drawMoment(player.canvas, momentAt(result, time), { heat: 0.75, box: false }));
  box.addEventListener("close", () => player.close());
  video.replaceWith(player.stage, player.controls, h("p.hint", {}, t("clip.heat")));
  player.open(result.video, result);
  if (!still()) player.play();
}

/** A clip in large: its class can be changed, and it can be deleted; `heat`: with where the newest model looks. */
export function clipDialog(clip, page, { changed = () => {}, heat = false } = {}) {
  const act = async (change) => { box.close(); if (await change()) changed(); };
  const classes = page.project.classes.map(({ name }) => [name, spoken(name)]);
  const choice = classChoice(t("clip.class"), classes, clip.label, (to) => act(() => setLabel(clip, to, page)));
  const video = h("video.large", { src: `media/clip/${clip.id}.mp4`, poster: `media/clip/${clip.id}.jpg`, controls: true,
      loop: true, autoplay: !still(), muted: true, playsinline: true, "--color": colorOf(clip.label) });
  const box = dialog(clip.name, video,
    h("div.row.spread", {}, h("div.field", {}, h("span", {}, t("clip.class")), choice), recordingField(clip, page),
      button("trash", t("clip.delete"), () => act(() =>
        page.changeAndTell(t("told.deleted", { name: clip.name, ...page.project.trash }), "delete_clip", { clip_id: clip.id })))));
  if (heat && page.project.model) showHeat(clip, page, video);
}

/** Clips in a dialog, for example those of a cell of the confusion matrix. */
export function clipsDialog(title, clips, page) {
  const wall = new Wall((clip) => { box.close(); clipDialog(clip, page, { heat: true }); });
  wall.set(clips);
  const box = dialog(title, wall.element);
}
