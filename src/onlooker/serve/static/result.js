// What a model sees in a clip: player, timeline, bars, events, files to take away.

import { Bars, countText, severalEvents, sureness } from "./bars.js";
import { colorOf, isQuiet, spoken } from "./colors.js";
import { button, h, icon, percent, seconds, t } from "./dom.js";
import { Marker } from "./mark.js";
import { drawMoment, drawnControls, momentOf, placeAt } from "./overlay.js";
import { Player } from "./player.js";
import { runsOf, Timeline } from "./timeline.js";

const MANY = 12; // states of which all have a row

export class LookResult {
  constructor(result, drawn, look) {
    Object.assign(this, { result, drawn, look });
    this.player = new Player((time) => this.frame(time));
    this.timeline = new Timeline(this.player);
    this.bars = new Bars();
    const marker = (this.marker = new Marker(result, this.timeline, look.page));
    this.player.actions = { "+": () => this.timeline.zoom(2), "-": () => this.timeline.zoom(0.5),
      i: () => marker.moveEdge(0, this.player.time), o: () => marker.moveEdge(1, this.player.time),
      Delete: () => marker.on && marker.remove(), Escape: () => marker.on && marker.rest() };
    this.now = h("p.now");
    this.element = h("div.result", {}, this.watch(), this.side());
  }

  watch() {
    return h("div.watch", {}, h("div.title-row", {}, h("h1.clip-name", { title: this.result.name }, this.result.name),
      this.look.list && button(null, t("look.list_back"), () => this.look.showList()),
      button("upload", t("look.other"), () => this.look.start())),
    this.result.damaged && h("p.warning", { role: "status" }, t("look.damaged", this.result)),
    this.player.stage, this.player.controls, this.timeline.element, this.marker.element);
  }

  side() {
    const several = this.look.state.models.length > 1;
    if (!this.result.model) return h("aside.side", {}, h("p.hint", {}, t("look.no_model_mark")));
    return h("aside.side", {}, this.answerCard(), drawnControls(this.drawn, () => this.frame(this.player.time)),
      several && this.look.again && this.look.modelSelect(() => this.look.again()), this.takeAway());
  }

  answerCard() {
    const { label, segments, unusual, budget, border_error: error } = this.result;
    const several = severalEvents(this.result);
    return h(`div.answer${isQuiet(label) ? ".silent" : ""}`, { "--color": colorOf(!several && label) },
      h("p.label", {}, several ?? spoken(label)),
      !several && h("p.detail", {}, sureness(this.result),
        segments.length > 0 && ` · ${countText(this.result)}`),
      unusual && h("p.warning", { role: "status" }, t("result.unusual")),
      segments.length > 0 && (budget ? this.budget(budget)
        : this.events(segments.toSorted((one, other) => one.start - other.start))),
      segments.length > 0 && error !== null && h("p.hint", {}, t("result.border_error", { time: seconds(Math.ceil(10 * error) / 10) })),
      this.now, this.bars.element);
  }

  events(segments) {
    const chips = segments.map((segment) => h("li", {}, h("button.event",
      { type: "button", "--color": colorOf(segment.label), onclick: () => this.player.seek(segment.start) },
      h("span.dot"), h("span", {}, spoken(segment.label)),
      h("span.when", {}, t("result.range", { start: segment.start.toFixed(1), end: segment.end.toFixed(1) }))),
    button("pen", t("mark.correct"), () => this.marker.correct(segment), { iconOnly: true })));
    return h("ul.events", { "aria-label": t("result.events") }, chips);
  }

  /** How much of a recording each state takes; a click leads to its next bout. */
  budget(parts) {
    const next = (label) => {
      const bouts = this.result.segments.filter((each) => each.label === label);
      return bouts.find(({ start }) => start > this.player.time + 0.01) ?? bouts[0];
    };
    return h("ul.events", { "aria-label": t("result.budget") }, parts.filter(({ bouts }) => bouts).map((part) =>
      h("li", {}, h("button.event", { type: "button", "--color": colorOf(part.label),
        title: t("result.median", { time: seconds(part.median) }),
        onclick: () => this.player.seek(next(part.label)?.start ?? this.player.time) },
      h("span.dot"), h("span", {}, spoken(part.label)),
      h("span.when", {}, `${percent(part.share)} · ${t("result.bouts", { count: part.bouts })}`)))));
  }

  takeAway() {
    const { id, model, name, video, ...answer } = this.result;
    const stem = name.replace(/\.[^.]*$/, "");
    const json = `data:application/json,${encodeURIComponent(JSON.stringify({ name, ...answer }))}`;
    const link = (kind, text, href = `media/${id}/as/${kind}`) =>
      h("a.quiet", { href, download: `${stem}.${kind}` }, icon("download"), h("span", {}, text));
    return h("details.save", {}, h("summary", {}, t("save.title")),
      h("div.row", {}, link("json", t("save.json"), json), link("vtt", t("save.vtt")),
        link("csv", t("save.csv")), link("mp4", t("save.mp4"))));
  }

  /** Starts to play; the element must be in the page. */
  begin() {
    const { classes, scores, threshold, nothing, segments, times, budget, model } = this.result;
    this.labels = times.map((time) => this.happening(time)[0] ?? nothing);
    const rows = model ? budget?.filter(({ bouts }) => bouts || budget.length <= MANY).map(({ label }) => label)
      : this.marker.names;
    this.timeline.set(rows ? segments : runsOf(this.labels, times, this.result.seconds), this.result.seconds, rows);
    this.marker.begin();
    if (!model) this.marker.set(true);
    this.player.video.onended = () => this.marker.end();
    this.bars.set(classes.toSorted((one, other) => scores[other] - scores[one]), threshold, nothing);
    this.player.open(this.result.video, this.result);
    this.player.play();
  }

  /** The classes of the events or states at a time. */
  happening(time) {
    const now = time + 1e-3; // of a bout that was sought, the first moment is in it
    return this.result.segments.filter(({ start, end }) => start <= now && now < end).map(({ label }) => label);
  }

  frame(time) {
    const { classes, frame_scores: scores, budget } = this.result;
    const index = placeAt(this.result, time);
    const label = this.labels[index];
    this.bars.update(Object.fromEntries(classes.map((name, k) => [name, scores[index][k]])), label);
    const text = (budget && this.happening(time).map(spoken).join(", ")) || spoken(label);
    this.now.textContent = t("result.now", { time: seconds(time), label: text });
    this.marker.show();
    drawMoment(this.player.canvas, momentOf(this.result, index), this.drawn);
    this.timeline.at(time, text);
  }

  pause() { this.marker.end(); this.player.video.pause(); }
  close() { this.marker.end(); this.player.close(); }
}
