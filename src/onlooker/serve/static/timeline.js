// The class at every moment as a colored strip: click to seek, drag to select a part, drag its ends to correct it.

import { colorOf, isQuiet, spoken } from "./colors.js";
import { h, seconds, show, t } from "./dom.js";

const DRAG = 5; // pixels from which a press is a drag, not a click

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

function lane(answer, duration, name) {
  const share = (value) => `${(100 * value) / duration}%`;
  const runs = runsOf(answer.labels, answer.times, duration).map((run) =>
    h(isQuiet(run.label) ? "span.run.nothing" : "span.run",
      { "--left": share(run.start), "--wide": share(run.end - run.start), "--color": colorOf(run.label),
        title: spoken(run.label) },
      h("span.name", {}, spoken(run.label))));
  const tops = answer.scores.map((scores) => Math.max(...scores));
  const points = tops.map((top, i) => `${(1000 * answer.times[i]) / duration},${100 - 100 * top}`).join(" ");
  const [from, to] = [answer.times[0], answer.times.at(-1)].map((time) => (1000 * time) / duration);
  const curve = h("svg.curve", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("polygon", { points: `${from},100 ${points} ${to},100` }), h("polyline", { points }));
  return h("div.lane", {}, name && h("span.lane-name", {}, name), h("div.strip", {}, runs), curve);
}

/** The strip of one or two answers below a player; it reads and sets the player's time and loop. */
export class Timeline {
  constructor(player, onselect) {
    this.player = player;
    this.onselect = onselect;
    this.head = h("div.playhead");
    this.range = h("div.selected", { hidden: true },
      ...["start", "end"].map((edge) => h("span.edge", { "data-edge": edge, title: t("timeline.edge") })));
    this.lanes = h("div.lanes");
    this.element = h("div.timeline", {
      role: "slider", tabindex: 0, "aria-label": t("timeline.label"), "aria-valuemin": 0, "aria-valuemax": 0,
        "aria-valuenow": 0,
      onpointerdown: (event) => this.press(event), onpointermove: (event) => this.move(event),
        onpointerup: (event) => this.release(event),
      onpointercancel: () => { this.from = null; },
    }, this.lanes, this.range, this.head);
  }

  /** Shows answers about a clip of `duration` seconds. */
  set(answers, duration, names) {
    this.duration = duration;
    this.answers = answers;
    this.element.setAttribute("aria-valuemax", duration.toFixed(2));
    show(this.lanes, answers.map((answer, i) => lane(answer, duration, answers.length > 1 ? names[i] : null)));
    this.select(null);
  }

  at(time, label) {
    this.head.style.setProperty("--left", `${(100 * time) / this.duration}%`);
    this.element.setAttribute("aria-valuenow", time.toFixed(2));
    this.element.setAttribute("aria-valuetext", t("timeline.now", { time: seconds(time), label: spoken(label ?? "") }));
  }

  timeOf(event) {
    const { left, width } = this.lanes.getBoundingClientRect();
    return this.duration * Math.min(1, Math.max(0, (event.clientX - left) / width));
  }

  press(event) {
    if (event.button !== 0 || !this.duration) return;
    this.element.setPointerCapture(event.pointerId);
    this.pressed = event.clientX;
    const edge = event.target.dataset.edge;
    if (edge) this.from = edge === "start" ? this.selection.end : this.selection.start;
    else this.from = this.timeOf(event);
    this.dragging = Boolean(edge);
  }

  move(event) {
    if (this.from === null || this.from === undefined) return;
    if (!this.dragging && Math.abs(event.clientX - this.pressed) < DRAG) return;
    this.dragging = true;
    const [start, end] = [this.from, this.timeOf(event)].sort((a, b) => a - b);
    this.select({ start, end: Math.max(end, start + 0.02) });
  }

  release(event) {
    if (this.from === null || this.from === undefined) return;
    if (!this.dragging) this.player.seek(this.timeOf(event));
    else this.player.seek(this.selection.start);
    this.from = null;
  }

  /** Selects a part (seconds), which is looped; null selects nothing. */
  select(selection) {
    this.selection = selection;
    this.player.loop = selection;
    this.range.hidden = !selection;
    if (selection) {
      this.range.style.setProperty("--left", `${(100 * selection.start) / this.duration}%`);
      this.range.style.setProperty("--wide", `${(100 * (selection.end - selection.start)) / this.duration}%`);
    }
    this.onselect(selection);
  }

  /** Selects the event around the current time: the run of equal labels of the first answer. */
  selectHere() {
    const run = runsOf(this.answers[0].labels, this.answers[0].times, this.duration)
      .find((part) => this.player.time >= part.start && this.player.time < part.end);
    if (run) this.select({ start: run.start, end: run.end });
  }

  /** Moves an end of the selection, or selects from here, by keys. */
  mark(edge) {
    const time = this.player.time;
    const { start, end } = this.selection ?? { start: 0, end: this.duration };
    const next = edge === "start" ? { start: time, end } : { start, end: time };
    if (next.end - next.start > 0.02) this.select(next);
  }
}
