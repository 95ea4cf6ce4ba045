// What a model sees in a clip: player, timeline, bars, events, files to take away.

import { Bars, severalEvents, sureness } from "./bars.js";
import { colorOf, isQuiet, spoken } from "./colors.js";
import { button, h, icon, seconds, t } from "./dom.js";
import { Marker } from "./mark.js";
import { drawMoment, drawnControls, momentOf, placeAt } from "./overlay.js";
import { Player } from "./player.js";
import { Timeline } from "./timeline.js";

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
    return h("aside.side", {}, this.answerCard(), drawnControls(this.drawn, () => this.frame(this.player.time)),
      several && this.look.again && this.look.modelSelect(() => this.look.again()), this.takeAway());
  }

  answerCard() {
    const { label, segments, unusual } = this.result;
    const several = severalEvents(this.result);
    return h(`div.answer${isQuiet(label) ? ".silent" : ""}`, { "--color": colorOf(!several && label) },
      h("p.label", {}, several ?? spoken(label)),
      !several && h("p.detail", {}, sureness(this.result),
        segments.length > 0 && ` · ${t("result.count", { count: segments.length })}`),
      unusual && h("p.warning", { role: "status" }, t("result.unusual")),
      segments.length > 0 && this.events(segments.toSorted((one, other) => one.start - other.start)),
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
    const { classes, scores, threshold, nothing, segments, times } = this.result;
    const event = (time) => segments.find(({ start, end }) => start <= time && time < end);
    this.labels = times.map((time) => event(time)?.label ?? nothing);
    this.timeline.set(this.labels, times, this.result.seconds);
    this.bars.set(classes.toSorted((one, other) => scores[other] - scores[one]), threshold, nothing);
    this.player.open(this.result.video, this.result);
    this.player.play();
  }

  frame(time) {
    const { classes, frame_scores: scores } = this.result;
    const index = placeAt(this.result, time);
    const label = this.labels[index];
    this.bars.update(Object.fromEntries(classes.map((name, k) => [name, scores[index][k]])), label);
    this.now.textContent = t("result.now", { time: seconds(time), label: spoken(label) });
    drawMoment(this.player.canvas, momentOf(this.result, index), this.drawn);
    this.timeline.at(time, label);
  }

  pause() { this.player.video.pause(); }
  close() { this.player.close(); }
}
