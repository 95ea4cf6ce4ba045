// Parts of a recording as examples: drag over the timeline, or press the key of a class while it goes on; each can be
// changed and removed.

import { get, send } from "./api.js";
import { colorOf, spoken } from "./colors.js";
import { button, complain, h, show, t, toast } from "./dom.js";

const SHORTEST = 0.2; // seconds
const HELD = 400; // milliseconds, from which on a key is held down: its class ends when it is released
const TOUCHING = 0.05; // seconds between parts that share a border
const KEYS = 9; // classes that have a key

export class Marker {
  /** `result` of a look, its timeline, and the page; the list of classes is that of the project. */
  constructor(result, timeline, page) {
    Object.assign(this, { result, timeline, page, marks: [], mark: null, going: new Map(), work: Promise.resolve() });
    this.predicted = result.segments.map(({ label, start, end }) => ({ label, range: [start, end] }));
    this.form = h("div.mark-form");
    this.toggle = button("plus", t("mark.begin"), () => {
      this.set(!this.on);
      this.focus();
    }, { "aria-pressed": "false" });
    this.together = h("input", { type: "checkbox", onchange: () => this.focus() });
    this.element = h("div.examples", {}, h("div.row", {}, this.toggle,
      button("closer", t("timeline.closer"), () => timeline.zoom(2), { iconOnly: true }),
      button("wider", t("timeline.wider"), () => timeline.zoom(0.5), { iconOnly: true })), this.form);
  }

  /** Shows the examples that are parts of this recording already. */
  async begin() {
    const parts = await get(`api/look/${this.result.id}/examples`).catch(() => []);
    this.marks = parts.map(({ clip, times }) => ({ clip, label: clip.label, range: times,
      element: this.timeline.keep(...times, clip.label) }));
  }

  focus() { this.timeline.element.focus({ preventScroll: true }); } // the space key plays

  get time() { return this.timeline.player.time; }
  get names() { return [...new Set([...this.page.project.classes.map(({ name }) => name), ...this.result.classes])]; }

  set(on) {
    this.on = on;
    this.end();
    this.toggle.setAttribute("aria-pressed", String(on));
    this.timeline.selecting = on ? (range, part, row) => this.choose(range, part, row) : null;
    this.timeline.borders = (row) => (on && row ? this.parts.filter(({ label }) => label === row) : []);
    this.timeline.player.video.loop = !on;
    this.rest();
  }

  get parts() { return [...this.marks, ...this.predicted]; }

  rest() {
    this.mark = null;
    this.timeline.select(null);
    const rest = this.result.budget ? this.predicted : [];
    show(this.form, this.on && [h("p.hint", { role: "status" }, t("mark.how")),
      h("div.row", {}, this.names.slice(0, KEYS).map((name, i) => this.key(name, String(i + 1)))),
      this.names.length > 1 && h("label.switch", {}, this.together, t("mark.together")),
      rest.length > 0 && button("plus", t("mark.all", { count: rest.length }), () => {
        for (const part of rest) this.keep(part.range, part.label, part);
        this.rest();
      })]);
  }

  /** The button of a class, which does what its key does. */
  key(name, key) {
    const { actions } = this.timeline.player;
    actions[key] = (event) => { if (this.on && !event.repeat) this.press(name); };
    actions[`${key} up`] = () => this.release(name);
    return h("button.event.key", { type: "button", "data-key": name, "aria-pressed": "false", "--color": colorOf(name),
      onpointerdown: (event) => { event.preventDefault(); this.press(name); }, onpointerup: () => this.release(name),
      onclick: ({ detail }) => detail || this.press(name) }, h("kbd", {}, key), h("span.dot"), h("span", {}, spoken(name)));
  }

  /** A class begins, and the others end, unless several may go on; if it went on, it only ends. */
  press(label) {
    const ends = this.going.has(label);
    this.end(this.together.checked ? [label] : [...this.going.keys()]);
    if (ends || this.time > this.result.seconds - SHORTEST) return;
    this.going.set(label, { from: this.time, since: performance.now() });
    this.show();
  }

  release(label) { if (performance.now() - this.going.get(label)?.since > HELD) this.end([label]); }

  /** Ends classes that go on, which become examples. */
  end(labels = [...this.going.keys()]) {
    for (const label of labels.filter((each) => this.going.has(each))) {
      const range = this.range(label);
      this.going.delete(label);
      if (range[1] - range[0] >= SHORTEST) this.keep(range, label);
    }
    if (labels.length) this.show();
  }

  /** Since when a class goes on, until now; or backwards. */
  range(label) { return [this.going.get(label).from, this.time].sort((one, other) => one - other); }

  /** Shows, at every frame, what goes on. */
  show() {
    this.timeline.showGoing([...this.going.keys()].map((label) => [this.range(label), label]));
    for (const each of this.form.querySelectorAll("[data-key]")) {
      each.setAttribute("aria-pressed", String(this.going.has(each.dataset.key)));
    }
  }

  /** After a drag: a new part, or a part with a moved edge, or, by a click, the one that is there. */
  choose([start, end], part, row) {
    if (part?.label) { this.move(part, [start, end]); return; }
    if (!part) this.mark = null;
    if (end - start >= SHORTEST) { this.edit([start, end]); return; }
    this.mark = this.parts.find(({ label, range }) => (!row || label === row) && range[0] <= start && start <= range[1]);
    if (this.mark) this.edit(this.mark.range); else this.rest();
  }

  /** Moves an edge of a part, and that of a part that touches it there. */
  move(part, range) {
    const side = Number(Math.abs(range[1] - part.range[1]) > Math.abs(range[0] - part.range[0]));
    const touches = (each) => each !== part && Math.abs(each.range[1 - side] - part.range[side]) < TOUCHING;
    const neighbor = this.parts.find(touches);
    this.keep(range, part.label, part);
    const rest = neighbor?.range.with(1 - side, range[side]);
    if (rest && rest[1] - rest[0] >= SHORTEST) this.keep(rest, neighbor.label, neighbor);
    this.rest();
  }

  /** Shows an event of a prediction, to correct or remove it. */
  correct({ label, start }) {
    this.set(true);
    this.mark = this.predicted.find((each) => each.label === label && each.range[0] === start) ?? null;
    this.last = label;
    this.edit(this.mark?.range ?? [start, start]);
  }

  /** Moves an edge of the chosen part (0 or 1), or of a new one, to `time`. */
  moveEdge(which, time) {
    if (!this.on) this.set(true);
    const second = [Math.max(0, time - which), Math.min(time + 1 - which, this.result.seconds)];
    const range = (this.timeline.selected ?? second).with(which, time);
    this.edit(range.sort((one, other) => one - other), { focus: false });
  }

  /** Shows a part, to be added or changed; `said`: what was done just before. */
  edit([start, end], { focus = true, said = null } = {}) {
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
      else this.add(times, input.value.trim());
    };
    this.timeline.select([start, end]);
    show(this.form, said && h("p.hint", { role: "status" }, said),
      h("form.row", { onsubmit: add, novalidate: true }, range[0], "–", range[1], input,
        h("datalist", { id: "mark-classes" }, this.names.map((name) => h("option", { value: name }))),
        button("plus", t(this.mark?.clip ? "mark.change" : "mark.add"), null, { kind: "primary", type: "submit" }),
        button(null, t("mark.nothing"), () => { input.value = this.result.nothing; }, { type: "submit" }),
        button("trash", t("mark.remove"), () => this.remove())));
    if (focus) input.focus();
  }

  /** Adds the part to a class, and says so. */
  async add(range, label) {
    const mark = await this.keep(range, label, this.mark);
    if (!mark) return;
    this.last = label;
    this.mark = mark;
    this.edit(range, { focus: false, said: t("mark.added", { label: spoken(label) }) });
  }

  /** Makes a part an example, in place of an `old` part, after those before; resolves to it, or to null if that fails. */
  keep(range, label, old = null) {
    const mark = { range, label, element: this.timeline.keep(...range, label) };
    old?.element?.remove();
    this.predicted = this.predicted.filter((each) => each !== old);
    this.marks = [...this.marks.filter((each) => each !== old), mark];
    this.work = this.work.then(() => this.send(mark, old));
    return this.work;
  }

  async send(mark, old) {
    try {
      if (old?.clip && !await this.page.change("delete_clip", { clip_id: old.clip.id })) return this.lose(mark);
      const body = { class: mark.label, start: mark.range[0], end: mark.range[1] };
      mark.clip = (await send("POST", `api/look/${this.result.id}/examples`, body)).clip;
      await this.page.loadProject();
      return mark;
    } catch (error) {
      complain(error);
      return this.lose(mark);
    }
  }

  lose(mark) {
    mark.element.remove();
    this.marks = this.marks.filter((each) => each !== mark);
    return null;
  }

  /** Removes the chosen part, and the example that it has become. */
  async remove() {
    const { mark } = this;
    await this.work; // it may still be on its way
    if (mark?.clip && !await this.page.change("delete_clip", { clip_id: mark.clip.id })) return;
    if (mark?.clip) this.lose(mark);
    this.rest();
  }
}
