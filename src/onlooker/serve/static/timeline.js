// The class at every moment as a colored strip, or states in a row for each: click or drag to seek, or to select a part.

import { colorOf, isQuiet, spoken } from "./colors.js";
import { h, seconds, show, t } from "./dom.js";

const GRASP = 10; // pixels from an edge, within which it is dragged
const MOVED = 3; // pixels, from which on a press is a drag

/** Runs of equal labels: `[{label, start, end}]` in seconds. */
export function runsOf(labels, times, duration) {
  const runs = [];
  labels.forEach((label, i) => {
    const last = runs.at(-1);
    if (last?.label === label) return;
    if (last) last.end = times[i];
    runs.push({ label, start: i ? times[i] : 0, end: duration });
  });
  return runs;
}

const share = (time, duration) => `${(100 * time) / duration}%`;

/** The strip of an answer below a player; it reads and sets the player's time. */
export class Timeline {
  constructor(player) {
    this.player = player;
    this.head = h("div.playhead");
    this.strip = h("div.strip");
    this.names = h("div.rows-names");
    this.borders = () => []; // of a row, the parts whose edges are dragged
    this.marks = h("div.marks", { "aria-hidden": "true" });
    const seek = (event) => {
      if (!(event.buttons & 1) || !this.duration) return;
      const time = this.timeOf(event);
      if (this.selecting) this.select([Math.min(this.from, time), Math.max(this.from, time)]);
      player.seek(time);
    };
    this.whole = h("div.whole", { onpointermove: seek,
      onpointerup: (event) => {
        if (!this.selected || !this.selecting) return;
        const moved = Math.abs(event.clientX - this.pressed) > MOVED;
        const time = this.timeOf(event);
        this.selecting(moved ? this.selected : [time, time], moved ? this.grasped : null, this.rowOf(event));
      },
      onpointerdown: (event) => {
        this.whole.setPointerCapture(event.pointerId);
        this.pressed = event.clientX;
        this.grasp(this.timeOf(event), this.rowOf(event));
        seek(event);
      } }, this.names, this.strip, this.marks, this.head);
    this.element = h("div.timeline", { role: "slider", tabindex: 0, "aria-label": t("timeline.label"),
      "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 }, this.whole);
  }

  /** A drag begins at `time`: at an edge of what is selected, or of a part of this row, it moves the edge; elsewhere, it begins another. */
  grasp(time, row) {
    const away = ({ range }) => Math.min(...range.map((edge) => Math.abs(time - edge)));
    const near = (GRASP * this.duration) / this.strip.clientWidth;
    const parts = [this.selected && { range: this.selected }, ...this.borders(row)].filter((each) => each && away(each) < near);
    this.grasped = parts.toSorted((one, other) => away(one) - away(other))[0] ?? null;
    const [start, end] = this.grasped?.range ?? [];
    this.from = !this.grasped ? time : Math.abs(time - end) < Math.abs(time - start) ? start : end;
  }

  /** Shows the strip `by` times as wide, with the player's time in its middle. */
  zoom(by) {
    this.wide = Math.min(Math.max(1, (this.wide ?? 1) * by), Math.max(1, this.duration));
    this.whole.style.setProperty("--zoom", this.wide);
    this.scroll(0.5);
  }

  /** Shows the player's time at a share of the width. */
  scroll(share) {
    const { scrollWidth, clientWidth } = this.element;
    this.element.scrollLeft = (this.player.time / this.duration) * scrollWidth - share * clientWidth;
  }

  /** Shows what happens in a clip of `duration` seconds, `[{label, start, end}]`; `rows`: the classes that have one each, or null. */
  set(runs, duration, given) {
    const rows = given?.length ? given : null;
    Object.assign(this, { duration, rows });
    this.element.setAttribute("aria-valuemax", duration.toFixed(2));
    this.element.classList.toggle("rows", rows !== null);
    this.element.style.setProperty("--rows", rows?.length ?? 1);
    show(this.names, (rows ?? []).map((name) => h("span", {}, spoken(name))));
    show(this.strip, runs.map(({ label, start, end }) => this.part(isQuiet(label) ? "span.run.nothing" : "span.run",
      start, end, label, h("span.name", {}, spoken(label)))));
  }

  /** An element from `start` to `end`, in the color of a class, and in its row. */
  part(selector, start, end, label, ...inside) {
    const { duration, rows } = this;
    const row = rows?.indexOf(label) ?? 0;
    return h(row < 0 || !label ? `${selector}.all` : selector, { "--left": share(start, duration),
      "--wide": share(end - start, duration), "--row": row, "--color": label ? colorOf(label) : "transparent",
      title: spoken(label) }, ...inside);
  }

  at(time, label) {
    this.head.style.setProperty("--left", share(time, this.duration));
    const { scrollLeft, scrollWidth, clientWidth } = this.element;
    const left = (time / this.duration) * scrollWidth - scrollLeft;
    if (left < 0 || left > clientWidth) this.scroll(0.1);
    this.element.setAttribute("aria-valuenow", time.toFixed(2));
    this.element.setAttribute("aria-valuetext", t("timeline.now", { time: seconds(time), label: spoken(label ?? "") }));
  }

  /** Shows a range, `[start, end]` in seconds, as selected, in the row of a class if there is one; null: none. */
  select(range, label = "") {
    this.selected = range;
    this.marks.querySelector(".selected:not(.going)")?.remove();
    if (range) this.marks.append(this.part("span.mark-part.selected", ...range, label));
  }

  /** Shows what goes on, `[[start, end], label]` each. */
  showGoing(parts) {
    for (const each of this.marks.querySelectorAll(".going")) each.remove();
    this.marks.append(...parts.map(([range, label]) => this.part("span.mark-part.selected.going", ...range, label)));
  }

  /** Shows a range that was added to a class; returns its element. */
  keep(start, end, label) {
    this.select(null);
    this.marks.append(this.part("span.mark-part", start, end, label));
    return this.marks.lastChild;
  }

  /** The class whose row is under the pointer; undefined without rows. */
  rowOf({ clientY }) {
    const { top, height } = this.strip.getBoundingClientRect();
    return this.rows?.[Math.floor(((clientY - top) / height) * this.rows.length)];
  }

  timeOf(event) {
    const { left, width } = this.strip.getBoundingClientRect();
    return this.duration * Math.min(1, Math.max(0, (event.clientX - left) / width));
  }
}
