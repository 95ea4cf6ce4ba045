// Parts of a recording as examples: drag over the timeline, choose a class, add.

import { send } from "./api.js";
import { button, complain, h, show, t, toast } from "./dom.js";

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
    const add = async (event) => {
      event.preventDefault();
      const label = input.value.trim();
      if (!label) { input.focus(); return; }
      try {
        await send("POST", `/api/look/${this.result.id}/examples`, { class: label, start, end });
        this.last = label;
        this.timeline.keep(start, end, label);
        toast(t("mark.added", { label }));
        await this.page.loadProject();
        show(this.form, h("p.hint", { role: "status" }, t("mark.how")));
      } catch (error) { complain(error); }
    };
    show(this.form, h("form.row", { onsubmit: add },
      h("span", {}, t("result.range", { start: start.toFixed(1), end: end.toFixed(1) })), input,
      h("datalist", { id: "mark-classes" }, names.map((name) => h("option", { value: name }))),
      button("plus", t("mark.add"), null, { kind: "primary", type: "submit" })));
    input.focus();
  }
}
