// A video with a canvas over it, and its controls: play, step, speed, time.

import { button, errorCard, h, icon, show, t, typing } from "./dom.js";

const clock = (value) => `${Math.floor(value / 60)}:${(value % 60).toFixed(2).padStart(5, "0")}`;

export class Player {
  constructor(onframe) {
    Object.assign(this, { onframe, actions: {} }); // `actions`: what other keys do
    this.video = h("video", { playsinline: true, muted: true, loop: true, preload: "auto",
      "aria-label": t("player.video"), onclick: () => this.toggle(), onerror: () => this.fail() });
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.cover = h("div.cover");
    this.stage = h("div.stage", {}, this.video, this.canvas, this.cover);
    for (const name of ["play", "pause", "seeked", "loadeddata"]) this.video.addEventListener(name, () => this.refresh());
    this.controls = this.buildControls();
    this.keys = (event) => this.key(event);
    this.releases = ({ key }) => this.actions[`${key} up`]?.();
  }

  buildControls() {
    this.playButton = button("play", t("player.play"), () => this.toggle(), { iconOnly: true, kind: "round" });
    this.clock = h("span.clock", { "aria-hidden": "true" });
    this.speed = h("select", { "aria-label": t("player.speed"), value: 1, onchange: () => this.setSpeed() },
      [[0.25, "¼"], [0.5, "½"], [1, 1], [2, 2], [4, 4], [8, 8]].map(([speed, value]) =>
        h("option", { value: speed }, t("player.times", { value }))));
    return h("div.controls", {},
      button("back", t("player.back"), () => this.stepBy(-1), { iconOnly: true }), this.playButton,
      button("forward", t("player.forward"), () => this.stepBy(1), { iconOnly: true }), this.clock, this.speed);
  }

  get time() { return this.video.currentTime; }

  /** Plays a clip of `seconds`, whose frames come every `step` seconds. */
  open(source, { seconds, width, height, frames }) {
    this.seconds = seconds;
    this.step = seconds / frames;
    this.stage.style.setProperty("--ratio", String(width / height));
    this.video.src = source;
    this.setSpeed();
    show(this.cover);
    addEventListener("keydown", this.keys);
    addEventListener("keyup", this.releases);
    this.running = true;
    this.tick();
  }

  fail() {
    if (this.running) show(this.cover, errorCard({ found: t("player.failed"), remedy: t("player.failed_remedy") }));
  }

  close() {
    this.running = false;
    removeEventListener("keydown", this.keys);
    removeEventListener("keyup", this.releases);
    this.video.removeAttribute("src");
    this.video.load();
  }

  tick() {
    if (!this.running) return;
    if (!this.video.paused) this.refresh();
    requestAnimationFrame(() => this.tick());
  }

  refresh() {
    const playing = !this.video.paused;
    if (playing !== this.shownPlaying) {
      this.shownPlaying = playing;
      show(this.playButton, icon(playing ? "pause" : "play"));
      this.playButton.setAttribute("aria-label", t(playing ? "player.pause" : "player.play"));
    }
    this.clock.textContent = `${clock(this.time)} / ${clock(this.seconds ?? 0)}`;
    this.onframe(this.time);
  }

  play() { this.video.play().catch(() => this.refresh()); }
  toggle() { if (this.video.paused) this.play(); else this.video.pause(); }
  seek(time) { this.video.currentTime = Math.min(Math.max(0, time), Math.max(0, this.seconds - 0.001)); }
  stepBy(frames) {
    this.video.pause();
    this.seek((Math.floor(this.time / this.step + 1e-3) + frames + 0.5) * this.step);
  }
  setSpeed() { this.video.playbackRate = this.video.defaultPlaybackRate = Number(this.speed.value); }

  key(event) {
    if (!this.stage.isConnected || !this.stage.offsetParent
      || typing(event, { buttons: event.key === " " || event.key === "Enter" })) return;
    const actions = {
      " ": () => this.toggle(), ArrowLeft: () => this.stepBy(-1), ArrowRight: () => this.stepBy(1),
      Home: () => this.seek(0), End: () => this.seek(this.seconds), ...this.actions,
    };
    if (event.target.closest?.("[role=tab], input[type=range]") || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key](event);
  }
}
