// The class at every moment as a colored strip: click or drag to seek, or to select a part.

import { colorOf, isQuiet, spoken } from "./colors.js";
import { h, seconds, show, t } from "./dom.js";

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

function contents(answer, duration) {
  const runs = runsOf(answer.labels, answer.times, duration).map(({ label, start, end }) =>
    part(isQuiet(label) ? "span.run.nothing" : "span.run", start, end, duration, label,
      h("span.name", {}, spoken(label))));
  const tops = answer.scores.map((scores) => Math.max(...scores));
  const points = tops.map((top, i) => `${(1000 * answer.times[i]) / duration},${100 - 100 * top}`).join(" ");
  const [from, to] = [answer.times[0], answer.times.at(-1)].map((time) => (1000 * time) / duration);
  const curve = h("svg.curve", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("polygon", { points: `${from},100 ${points} ${to},100` }), h("polyline", { points }));
  return [...runs, curve];
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
    this.element = h("div.timeline", {
      role: "slider", tabindex: 0, "aria-label": t("timeline.label"), "aria-valuemin": 0, "aria-valuemax": 0,
      "aria-valuenow": 0, onpointermove: seek, onpointerup: () => this.selected && this.selecting?.(...this.selected),
      onpointerdown: (event) => {
        this.element.setPointerCapture(event.pointerId);
        this.from = this.timeOf(event);
        seek(event);
      },
    }, this.strip, this.marks, this.head);
  }

  /** Shows an answer about a clip of `duration` seconds. */
  set(answer, duration) {
    Object.assign(this, { answer, duration });
    this.element.setAttribute("aria-valuemax", duration.toFixed(2));
    show(this.strip, contents(answer, duration));
  }

  at(time, label) {
    this.head.style.setProperty("--left", share(time, this.duration));
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
