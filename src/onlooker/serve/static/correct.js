// Correct: clips whose label is in doubt, one click each; then train again.

import { get } from "./api.js";
import { colorOf, spoken } from "./colors.js";
import { button, errorCard, h, patch, percent, rich, show, t } from "./dom.js";
import { classChoice, clipDialog, preview, setLabel } from "./wall.js";

const reason = ({ why, label, suggested }) =>
  (why === "label" ? "inbox.label_error" : label === suggested ? "inbox.hesitates" : "inbox.uncertain");

export class Correct {
  constructor(panel, page) {
    Object.assign(this, { panel, page, items: [], count: 0, corrected: 0 });
    this.inbox = h("ul.inbox", { "aria-label": t("inbox.label") });
    this.note = h("div.inbox-note");
    this.again = h("div.row");
    show(panel, h("div.correct", {},
      h("div.head", {}, h("div", {}, h("h1", {}, t("correct.title")), h("p.lead", {}, t("correct.lead"))),
        this.again),
      h("section", { "aria-label": t("inbox.label") }, this.note, this.inbox)));
  }

  enter() { this.load(); }

  async load() {
    const turn = (this.turn = {});
    show(this.note, h("div.spinner"));
    try {
      await this.page.loadProject();
      const { items, count, guessing } = await get("api/project/inbox");
      if (this.turn !== turn) return; // loaded again, or answered, meanwhile
      for (const item of items) item.card = this.card(item);
      Object.assign(this, { items, count, guessing });
      this.showInbox();
    } catch (error) {
      show(this.inbox);
      show(this.note, errorCard(error, button(null, t("again"), () => this.load())));
    }
  }

  showInbox() {
    const { project } = this.page;
    patch(this.inbox, this.items.map(({ card }) => card));
    this.page.setInboxCount(this.count);
    show(this.again, project.model && button(null, t("train.again"), () => this.trainAgain(),
      { kind: this.corrected ? "primary" : "quiet" }));
    const empty = (title, text, ...actions) =>
      h("div.empty", {}, h("h2", {}, t(title)), h("p", {}, rich(t(text))), h("div.row", {}, actions));
    if (!project.model) show(this.note, empty("inbox.untrained", "inbox.untrained_remedy",
      button(null, t("look.go_teach"), () => this.page.go("teach"), { kind: "primary" })));
    else if (this.guessing) show(this.note, empty("inbox.guessing", "inbox.guessing_remedy",
      button(null, t("look.go_teach"), () => this.page.go("teach"), { kind: "primary" })));
    else if (this.count) show(this.note, h("p.hint", {}, t("inbox.count", { count: this.count })));
    else show(this.note, empty("inbox.empty", this.corrected ? "inbox.empty_corrected" : "inbox.empty_remedy"));
  }

  card(item) {
    const names = this.page.project.classes.map(({ name }) => name);
    const first = [...new Set([item.label, item.suggested])].filter((name) => names.includes(name));
    const choose = (name) => this.answer(item, name);
    const answer = (name) => h(`button.answer-button${name === item.label ? ".present" : ""}`,
      { type: "button", "--color": colorOf(name), onclick: () => choose(name) }, h("span.dot"),
      t(name === item.label ? "inbox.keep" : "inbox.move", { label: spoken(name) }));
    const others = names.filter((name) => !first.includes(name)).map((name) => [name, spoken(name)]);
    const other = classChoice(t("inbox.other"), [["", t("inbox.other")], ...others], "", choose);
    const clip = { id: item.clip, label: item.label, name: item.name };
    const open = h("button.tile", { type: "button", "aria-label": t("inbox.open", { name: item.name }),
      onclick: () => clipDialog(clip, this.page, { changed: () => this.load(), heat: true }) }, preview(item.clip));
    const why = { label: spoken(item.label), suggested: spoken(item.suggested), score: percent(item.score) };
    return h("li.card.doubt", { "data-clip": item.clip }, open, h("div", {},
      h("p.why", {}, t(reason(item), why)),
      h("div.row", { role: "group", "aria-label": t("inbox.is") }, first.map(answer), others.length > 0 && other)));
  }

  async answer(item, label) {
    if (item.answered) return;
    item.answered = true;
    const next = item.card.nextElementSibling?.querySelector(".answer-button");
    const { clip: id, name } = item;
    if (!await setLabel({ id, name, label: item.label }, label, this.page)) { this.load(); return; }
    this.turn = null;
    if (label !== item.label) this.corrected += 1;
    this.items = this.items.filter((each) => each !== item);
    this.count -= 1;
    this.showInbox();
    if (!this.items.length) this.load(); // others may wait
    if (document.activeElement === document.body) next?.focus();
  }

  trainAgain() {
    this.corrected = 0;
    this.page.go("teach");
    this.page.parts.teach.training.start();
  }
}
