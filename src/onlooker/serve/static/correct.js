// Correct: clips whose label is in doubt, one click each; a map of all clips; then train again.

import { get } from "./api.js";
import { colorOf, rememberClasses, spoken } from "./colors.js";
import { announce, button, dialog, errorCard, h, patch, percent, show, t } from "./dom.js";
import { clipMap } from "./map.js";
import { classChoice, clipDialog, clipsById, preview } from "./wall.js";

const keyOf = (item) => item.clip ?? item.look;

function reason({ why, label, suggested }) {
  if (why === "camera") return "inbox.camera";
  if (why === "look") return "inbox.look";
  if (why === "label") return "inbox.label_error";
  return label === suggested ? "inbox.hesitates" : "inbox.uncertain";
}

const SHOWN = 12; // clips at a time; the next ones follow as these are answered
const MAP_TRIES = 60; // the map is drawn for some seconds after a training
const MAP_PAUSE = 2000; // ms

export class Correct {
  constructor(panel, page) {
    Object.assign(this, { panel, page, items: [], cards: new Map(), corrected: 0 });
    this.inbox = h("ul.inbox", { "aria-label": t("inbox.label") });
    this.note = h("div.inbox-note");
    this.again = h("div.row");
    this.mapSlot = h("div");
    this.undo = button("undo", t("undo"), () => this.page.change("POST", "/api/project/undo").then(() => this.load()));
    show(panel, h("div.correct", {},
      h("div.head", {}, h("div", {}, h("h1", {}, t("correct.title")), h("p.lead", {}, t("correct.lead"))),
        h("div.row", {}, this.undo, this.again)),
      h("section", { "aria-label": t("inbox.label") }, this.note, this.inbox),
      h("section.card.map-card", { "aria-label": t("map.title") }, h("h2", {}, t("map.title")),
        h("p.hint", {}, t("map.lead")), this.mapSlot)));
  }

  enter() { this.load(); }
  leave() {}

  update(project) {
    this.undo.disabled = !project.undo;
    this.undo.title = project.undo ?? "";
  }

  async load() {
    const turn = (this.turn = {});
    show(this.note, h("div.spinner"));
    try {
      await this.page.loadProject();
      this.update(this.page.project);
      rememberClasses(this.page.project.classes.map(({ name }) => name));
      const items = this.page.project.model ? (await get("/api/project/inbox")).items : [];
      if (this.turn !== turn) return; // loaded again, or answered, meanwhile
      this.items = items;
      this.cards.clear(); // their buttons belong to the items before
      this.showInbox();
    } catch (error) {
      this.untrained(error, this.note);
    }
    await this.loadMap();
  }

  untrained(error, slot) {
    show(this.inbox);
    this.page.setInboxCount(0);
    if (error.status !== 404) { show(slot, errorCard(error, button(null, t("again"), () => this.load()))); return; }
    show(slot, h("div.empty", {}, h("h2", {}, t("inbox.untrained")), h("p", {}, t("inbox.untrained_remedy")),
      h("div.row", {}, button(null, t("look.go_teach"), () => this.page.go("teach"), { kind: "primary" }))));
  }

  showInbox() {
    const { project } = this.page;
    const shown = this.items.slice(0, SHOWN);
    const keys = new Set(shown.map(keyOf));
    for (const key of this.cards.keys()) if (!keys.has(key)) this.cards.delete(key);
    for (const item of shown) if (!this.cards.has(keyOf(item))) this.cards.set(keyOf(item), this.card(item));
    patch(this.inbox, shown.map((item) => this.cards.get(keyOf(item))));
    this.page.setInboxCount(this.items.length);
    show(this.again, project.model && button(null, t("train.again"), () => this.trainAgain(),
      { kind: this.corrected ? "primary" : "quiet" }));
    if (!project.model) { this.untrained({ status: 404 }, this.note); return; }
    show(this.note, this.items.length ? h("p.hint", {}, t("inbox.count", { count: this.items.length }))
      : h("div.empty", {}, h("h2", {}, t("inbox.empty")),
      h("p", {}, t(this.corrected ? "inbox.empty_corrected" : "inbox.empty_remedy"))));
  }

  card(item) {
    const names = this.page.project.classes.map(({ name }) => name);
    const first = [...new Set([item.label, item.suggested])].filter((name) => names.includes(name));
    const answer = (name, kind) => h(`button.${kind}`,
      { type: "button", "--color": colorOf(name), onclick: () => this.answer(item, name) }, h("span.dot"),
      spoken(name));
    const others = names.filter((name) => !first.includes(name)).map((name) => [name, spoken(name)]);
    const other = classChoice(t("inbox.other"), [["", t("inbox.other")], ...others], "",
      (name) => this.answer(item, name));
    const open = h("button.tile",
      { type: "button", "aria-label": t("inbox.open", { label: spoken(item.label ?? item.name) }),
      onclick: () => (item.clip ? this.open(item.clip) : this.openLook(item)) },
      item.clip ? preview(item.clip) : preview(null, `/media/${item.look}.mp4`));
    return h("li.card.doubt", { "data-clip": keyOf(item) }, open, h("div", {},
      h("p.why", {}, t(reason(item),
        { label: spoken(item.label ?? item.name), suggested: spoken(item.suggested), score: percent(item.score) })),
      h("div.row", { role: "group", "aria-label": t("inbox.is") },
        first.map((name) => answer(name, name === item.suggested ? "answer-button.suggested" : "answer-button")),
        others.length > 0 && other)));
  }

  async answer(item, label) {
    if (item.answered) return;
    item.answered = true;
    const next = this.cards.get(keyOf(item))?.nextElementSibling?.querySelector(".answer-button");
    const path = item.clip ?? `look/${item.look}`;
    if (!await this.page.change("POST", `/api/project/inbox/${path}`, { label })) { this.load(); return; }
    this.turn = null;
    if (label !== item.label) this.corrected += 1;
    this.items = this.items.filter((each) => each !== item);
    announce(t("inbox.answered", { label: spoken(label) }));
    this.update(this.page.project);
    this.showInbox();
    if (!this.items.length) this.load(); // others may wait by now
    if (document.activeElement === document.body) next?.focus();
  }

  open(id) {
    const clip = clipsById(this.page.project).get(id);
    if (clip) clipDialog(clip, clip.label, this.page.project, async (...change) => {
      if (await this.page.change(...change)) this.load();
    });
  }

  openLook({ look, name }) {
    dialog(name, h("video.large", { src: `/media/${look}.mp4`, controls: true, muted: true, playsinline: true }));
  }

  trainAgain() {
    this.corrected = 0;
    this.page.go("teach");
    this.page.parts.teach.training.start();
  }

  async loadMap(tries = MAP_TRIES) {
    clearTimeout(this.asking);
    try {
      const { points } = this.page.project.model ? await get("/api/project/map") : { points: [] };
      show(this.mapSlot, points.length ? clipMap(points, (id) => this.open(id)) : h("p.hint", {}, t("map.empty")));
    } catch (error) {
      show(this.mapSlot, error.status === 404 ? h("p.hint", {}, t("map.empty")) : errorCard(error));
      if (error.code !== "no_map" || tries === 0) return;
      this.asking = setTimeout(() => { if (!this.panel.hidden) this.loadMap(tries - 1); }, MAP_PAUSE);
    }
  }
}
