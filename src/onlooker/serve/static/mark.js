// Parts of a recording as examples: drag over the timeline, choose a class, add; each can be changed and removed.

import { send } from "./api.js";
import { spoken } from "./colors.js";
import { button, complain, h, show, t, toast } from "./dom.js";

const SHORTEST = 0.2; // seconds

export class Marker {
  /** `result` of a look, its timeline, and the page; the list of classes is that of the project. */
  constructor(result, timeline, page) {
    Object.assign(this, { result, timeline, page, marks: [], mark: null });
    this.form = h("div.mark-form");
    this.toggle = button("plus", t("mark.begin"), () => this.set(!this.on), { "aria-pressed": "false" });
    this.element = h("div.examples", {}, h("div.row", {}, this.toggle,
      button("closer", t("timeline.closer"), () => timeline.zoom(2), { iconOnly: true }),
      button("wider", t("timeline.wider"), () => timeline.zoom(0.5), { iconOnly: true })), this.form);
  }

  set(on) {
    this.on = on;
    this.toggle.setAttribute("aria-pressed", String(on));
    this.timeline.selecting = on ? (range, moving) => this.choose(range, moving) : null;
    this.rest();
  }

  rest() {
    this.mark = null;
    this.timeline.select(null);
    show(this.form, this.on && h("p.hint", { role: "status" }, t("mark.how")));
  }

  /** After a drag: a new part, the chosen one with a moved edge, or, by a click, the one that was added there. */
  choose([start, end], moving) {
    if (!moving) this.mark = null;
    if (end - start >= SHORTEST) { this.edit([start, end]); return; }
    this.mark = this.marks.find((mark) => mark.range[0] <= start && start <= mark.range[1]);
    const event = this.result.segments.find((each) => each.start <= start && start < each.end);
    if (this.mark) this.edit(this.mark.range); else if (event) this.correct(event); else this.rest();
  }

  /** Shows an event of a prediction, to correct or remove it. */
  correct({ label, start, end }) { this.set(true); this.last = label; this.edit([start, end]); }

  /** Moves an edge of the chosen part (0 or 1), or of a new one, to `time`. */
  moveEdge(which, time) {
    if (!this.on) this.set(true);
    const second = [Math.max(0, time - which), Math.min(time + 1 - which, this.result.seconds)];
    const range = (this.timeline.selected ?? second).with(which, time);
    this.edit(range.sort((one, other) => one - other), { focus: false });
  }

  /** Shows a part, to be added or changed; `said`: what was done just before. */
  edit([start, end], { focus = true, said = null } = {}) {
    const names = this.page.project.classes.map(({ name }) => name);
    const input = h("input", { type: "text", list: "mark-classes", "aria-label": t("mark.class"),
      placeholder: t("mark.class"), value: this.mark?.label ?? this.last ?? "" });
    const range = [start, end].map((time, i) => h("input.edge", { type: "number", step: 0.1, min: 0, required: true,
      max: this.result.seconds.toFixed(3), value: time.toFixed(2), "aria-label": t(i ? "mark.end" : "mark.start"),
      oninput: () => this.timeline.select(range.map((edge) => Number(edge.value))) }));
    const add = (event) => {
      event.preventDefault();
      const times = range.map((edge) => Math.max(0, Number(edge.value)));
      if (times[1] - times[0] < SHORTEST) toast(t("mark.times", { least: SHORTEST }), { error: true });
      else if (!input.value.trim()) input.focus();
      else this.add(times, input.value.trim()).catch(complain);
    };
    this.timeline.select([start, end]);
    show(this.form, said && h("p.hint", { role: "status" }, said),
      h("form.row", { onsubmit: add, novalidate: true }, range[0], "–", range[1], input,
        h("datalist", { id: "mark-classes" }, names.map((name) => h("option", { value: name }))),
        button("plus", t(this.mark ? "mark.change" : "mark.add"), null, { kind: "primary", type: "submit" }),
        button(null, t("mark.nothing"), () => { input.value = this.result.nothing; }, { type: "submit" }),
        button("trash", t("mark.remove"), () => this.remove())));
    if (focus) input.focus();
  }

  /** Adds the part to a class; one that was added before is replaced. */
  async add(range, label) {
    if (this.mark && !await this.remove()) return;
    const body = { class: label, start: range[0], end: range[1] };
    const { clip } = await send("POST", `api/look/${this.result.id}/examples`, body);
    await this.page.loadProject();
    this.last = label;
    this.mark = { range, label, clip, element: this.timeline.keep(...range, label) };
    this.marks.push(this.mark);
    this.edit(range, { focus: false, said: t("mark.added", { label: spoken(label) }) });
  }

  /** Removes the chosen part, and the example that it has become. Returns whether it is gone. */
  async remove() {
    const { mark } = this;
    if (mark && !await this.page.change("delete_clip", { clip_id: mark.clip.id })) return false;
    mark?.element.remove();
    this.marks = this.marks.filter((each) => each !== mark);
    this.rest();
    return true;
  }
}
