// Parts of a recording as examples: drag over the timeline, choose a class, add.

import { send } from "./api.js";
import { spoken } from "./colors.js";
import { button, complain, h, show, t } from "./dom.js";

const SHORTEST = 0.2; // seconds

export class Marker {
  /** `result` of a look, its timeline, and the page; the list of classes is that of the project. */
  constructor(result, timeline, page) {
    Object.assign(this, { result, timeline, page });
    this.form = h("div.row.mark-form");
    this.toggle = button("plus", t("mark.begin"), () => this.set(!this.on), { "aria-pressed": "false" });
    this.element = h("div.examples", {}, this.toggle, this.form);
  }

  set(on) {
    this.on = on;
    this.toggle.setAttribute("aria-pressed", String(on));
    this.timeline.selecting = on ? (start, end) => this.offer(start, end) : null;
    this.timeline.select(null);
    show(this.form, on && h("p.hint", { role: "status" }, t("mark.how")));
  }

  offer(start, end) {
    if (end - start < SHORTEST) return;
    const names = this.page.project.classes.map(({ name }) => name);
    const input = h("input", { type: "text", list: "mark-classes", "aria-label": t("mark.class"),
      placeholder: t("mark.class"), value: this.last ?? "" });
    const range = [start, end].map((time, i) => h("input.edge", { type: "number", step: 0.1, min: 0, required: true,
      max: this.result.seconds.toFixed(3), value: time.toFixed(2), "aria-label": t(i ? "mark.end" : "mark.start"),
      oninput: () => this.timeline.select(range.map((edge) => Number(edge.value))) }));
    const add = async (event) => {
      event.preventDefault();
      const label = input.value.trim();
      const [from, to] = range.map((edge) => Number(edge.value));
      if (to - from < SHORTEST) { range[1].focus(); return; }
      if (!label) { input.focus(); return; }
      try {
        const body = { class: label, start: from, end: to };
        const { clip } = await send("POST", `/api/look/${this.result.id}/examples`, body);
        this.last = label;
        const mark = this.timeline.keep(from, to, label);
        await this.page.loadProject();
        this.say(label, clip, mark);
      } catch (error) { complain(error); }
    };
    show(this.form, h("form.row", { onsubmit: add }, range[0], "–", range[1], input,
      h("datalist", { id: "mark-classes" }, names.map((name) => h("option", { value: name }))),
      button("plus", t("mark.add"), null, { kind: "primary", type: "submit" })));
    input.focus();
  }

  /** Says that a part was added, beside where the next one is marked, with a button that deletes it. */
  say(label, clip, mark) {
    const remove = async () => {
      if (!await this.page.change("DELETE", `/api/project/clips/${clip.id}`)) return;
      mark.remove();
      this.set(true);
    };
    show(this.form, h("p.hint", { role: "status" }, t("mark.added", { label: spoken(label) }), " ", t("mark.how")),
      button("trash", t("mark.remove"), remove));
  }
}
