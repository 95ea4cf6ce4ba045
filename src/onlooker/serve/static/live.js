// The camera with live answers over it: heat map, box, label, bars, the delay.

import { Bars, sureness } from "./bars.js";
import { closeCamera, isMirrored, openCamera } from "./camera.js";
import { colorOf, isQuiet, spoken } from "./colors.js";
import { LiveConnection } from "./connection.js";
import { announce, button, errorCard, h, percent, seconds, show, t } from "./dom.js";
import { drawMoment } from "./overlay.js";

const BOUTS = 30; // that are listed

export class LiveView {
  /** `options`: what is drawn, `{heat, box}`, as the page's controls set it; `opened()`: the camera is there. */
  constructor(options, opened) {
    Object.assign(this, { options, opened });
    this.video = h("video", { playsinline: true, muted: true, autoplay: true, "aria-label": t("live.video") });
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.cover = h("div.cover");
    this.count = h("div.count");
    this.stage = h("div.stage.live", {}, this.video, this.canvas, this.count, this.cover);
    this.label = h("p.label", {}, t("live.waiting"));
    this.detail = h("p.detail");
    this.speed = h("p.speed");
    this.bars = new Bars();
    this.bouts = h("ul.events", { "aria-label": t("live.bouts") });
    this.answerCard = h("div.answer", {}, this.label, this.detail, this.bouts);
  }

  /** Opens the camera; shows what is in the way if it can not. Returns whether it is open. */
  async open() {
    if (this.stream) return true;
    const turn = (this.turn = {});
    let stream;
    this.say(h("div.waiting", {}, h("div.spinner"), h("p", {}, t("camera.asking"))));
    try {
      stream = await openCamera();
    } catch (error) {
      const again = button("camera", t("camera.retry"), () => this.open(), { kind: "primary" });
      if (this.turn === turn) this.say(errorCard(error, again));
      return false;
    }
    if (this.turn !== turn) { closeCamera(stream); return false; } // closed, or opened again, meanwhile
    this.stream = stream;
    stream.getVideoTracks()[0].onended = () => {
      this.close();
      this.say(errorCard({ found: t("camera.ended"), remedy: t("camera.ended_remedy") }));
    };
    this.mirrored = isMirrored(stream);
    this.stage.classList.toggle("mirrored", this.mirrored);
    this.video.srcObject = stream;
    await this.video.play().catch(() => {});
    if (this.stream !== stream) return false;
    const { videoWidth = 4, videoHeight = 3 } = this.video;
    if (videoWidth) this.stage.style.setProperty("--ratio", String(videoWidth / videoHeight));
    this.say(null);
    this.opened();
    return true;
  }

  say(content) { show(this.cover, content); }

  /** Starts to look with a model (as in /api/state); the camera must be open. */
  look(model) {
    this.model = model;
    this.connection?.close();
    if (!this.stream) return;
    this.bars.set(model.classes, null, model.nothing);
    show(this.bouts);
    this.connection = new LiveConnection(this.video, model, this);
  }

  /** Stops looking; the camera stays open. */
  rest() {
    this.connection?.close();
    this.connection = null;
    this.stage.classList.remove("looking");
    drawMoment(this.canvas, null, this.options);
  }

  close() {
    this.turn = null;
    this.rest();
    this.say(null);
    closeCamera(this.stream);
    this.stream = null;
    this.video.srcObject = null;
  }

  state(name, error) {
    this.stage.classList.toggle("looking", name === "live");
    if (name === "live") this.say(null);
    if (error) this.say(errorCard(error,
      button(null, t("live.again"), () => this.look(this.model), { kind: "primary" })));
  }

  answer(message) {
    const { label, score, states = [], time } = message, quiet = isQuiet(label);
    const name = states.map((each) => spoken(each.label)).join(", ") || spoken(label);
    const boxes = quiet ? [] : message.boxes.map(({ corners }) => ({ corners, label }));
    drawMoment(this.canvas, { ...message, boxes }, this.options, this.mirrored);
    if (message.threshold !== this.bars.threshold) this.bars.set(this.model.classes, message.threshold, this.model.nothing);
    this.bars.update(message.scores, label);
    if (this.label.textContent !== name) announce(t("live.says", { label: name, score: percent(score) }), 600);
    this.label.textContent = name;
    this.answerCard.style.setProperty("--color", colorOf(label));
    this.answerCard.classList.toggle("silent", quiet);
    this.detail.textContent = states.map(({ start }) => t("live.since", { time: seconds(time - start) })).join(", ")
      || sureness(message);
    if (message.states) this.keepBouts(message.events);
    this.measure(message);
  }

  /** Lists bouts that are final, the last ones first. */
  keepBouts(bouts) {
    for (const { label, start, end } of bouts) {
      this.bouts.prepend(h("li.event", { "--color": colorOf(label) }, h("span.dot"), h("span", {}, spoken(label)),
        h("span.when", {}, t("result.range", { start: start.toFixed(1), end: end.toFixed(1) }))));
    }
    while (this.bouts.children.length > BOUTS) this.bouts.lastChild.remove();
  }

  measure({ delay, milliseconds, too_slow: slow, unusual }) {
    const now = performance.now();
    const smooth = (mean, value) => (mean === undefined ? value : 0.9 * mean + 0.1 * value);
    this.delay = smooth(this.delay, delay);
    this.rate = smooth(this.rate, 1000 / (now - (this.last ?? now - 1000)));
    this.last = now;
    const values = { delay: Math.round(this.delay), rate: Math.round(this.rate), step: Math.round(milliseconds) };
    const warning = slow ? t("live.too_slow", { n: slow[0], m: slow[1] }) : unusual ? t("result.unusual") : "";
    this.speed.textContent = `${t("live.speed", values)} ${warning}`;
    this.speed.classList.toggle("warning", Boolean(warning));
    Object.assign(this.stage.dataset, values);
  }
}
