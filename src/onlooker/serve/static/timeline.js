// The class at every moment as a colored strip: click or drag to seek, or to select a part.

import { colorOf, isQuiet, spoken } from "./colors.js";
import { h, seconds, show, t } from "./dom.js";

const GRASP = 10; // pixels from an edge, within which it is dragged

/** Runs of equal labels: `[{label, start, end}]` in seconds. */
function runsOf(labels, times, duration) {
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

/** An element from `start` to `end` of a clip, in the color of a class. */
const part = (selector, start, end, duration, label, ...inside) => h(selector, {
  "--left": share(start, duration), "--wide": share(end - start, duration),
  "--color": label ? colorOf(label) : "transparent", title: spoken(label) }, ...inside);

function contents(labels, times, duration) {
  return runsOf(labels, times, duration).map(({ label, start, end }) =>
    part(isQuiet(label) ? "span.run.nothing" : "span.run", start, end, duration, label,
      h("span.name", {}, spoken(label))));
}

/** The strip of an answer below a player; it reads and sets the player's time. */
export class Timeline {
  constructor(player) {
    this.player = player;
    this.head = h("div.playhead");
    this.strip = h("div.strip");
    this.marks = h("div.marks", { "aria-hidden": "true" });
    const seek = (event) => {
      if (!(event.buttons & 1) || !this.duration) return;
      const time = this.timeOf(event);
      if (this.selecting) this.select([Math.min(this.from, time), Math.max(this.from, time)]);
      player.seek(time);
    };
    this.whole = h("div.whole", { onpointermove: seek,
      onpointerup: () => this.selected && this.selecting?.(this.selected, this.moving),
      onpointerdown: (event) => {
        this.whole.setPointerCapture(event.pointerId);
        this.grasp(this.timeOf(event));
        seek(event);
      } }, this.strip, this.marks, this.head);
    this.element = h("div.timeline", { role: "slider", tabindex: 0, "aria-label": t("timeline.label"),
      "aria-valuemin": 0, "aria-valuemax": 0, "aria-valuenow": 0 }, this.whole);
  }

  /** A drag begins at `time`: at an edge of what is selected, it moves this edge; elsewhere, it begins another. */
  grasp(time) {
    const near = (edge) => Math.abs(time - edge) < (GRASP * this.duration) / this.strip.clientWidth;
    const [start, end] = this.selected ?? [];
    this.moving = near(start) || near(end);
    this.from = near(end) ? start : near(start) ? end : time;
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

  /** Shows the labels of a clip of `duration` seconds at some times. */
  set(labels, times, duration) {
    this.duration = duration;
    this.element.setAttribute("aria-valuemax", duration.toFixed(2));
    show(this.strip, contents(labels, times, duration));
  }

  at(time, label) {
    this.head.style.setProperty("--left", share(time, this.duration));
    const { scrollLeft, scrollWidth, clientWidth } = this.element;
    const left = (time / this.duration) * scrollWidth - scrollLeft;
    if (left < 0 || left > clientWidth) this.scroll(0.1);
    this.element.setAttribute("aria-valuenow", time.toFixed(2));
    this.element.setAttribute("aria-valuetext", t("timeline.now", { time: seconds(time), label: spoken(label ?? "") }));
  }

  /** Shows a range, `[start, end]` in seconds, as selected; null: none. */
  select(range) {
    this.selected = range;
    this.marks.querySelector(".selected")?.remove();
    if (range) this.marks.append(part("span.mark-part.selected", ...range, this.duration, ""));
  }

  /** Shows a range that was added to a class; returns its element. */
  keep(start, end, label) {
    this.select(null);
    this.marks.append(part("span.mark-part", start, end, this.duration, label));
    return this.marks.lastChild;
  }

  timeOf(event) {
    const { left, width } = this.strip.getBoundingClientRect();
    return this.duration * Math.min(1, Math.max(0, (event.clientX - left) / width));
  }
}
