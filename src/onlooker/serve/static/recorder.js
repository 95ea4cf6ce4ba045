// Recording clips of a class: hold, or tap for a countdown.

import { record } from "./camera.js";
import { spoken } from "./colors.js";
import { announce, button, h, show, t } from "./dom.js";

const TAP = 400; // ms; a shorter press starts the countdown
const COUNTDOWN = 3; // seconds
const LENGTH = 2.5; // seconds of a clip after the countdown
const LONGEST = 10; // seconds

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

export class Recorder {
  /** `live`: a LiveView; `save(name, blob)` keeps a clip. */
  constructor(live, save) {
    Object.assign(this, { live, save, turn: 0 });
  }

  /** A button that records clips of the class that `name()` gives; a click without a pointer counts down. */
  holdButton(name, label) {
    const hold = button("camera", label, null, { kind: "hold" });
    const begin = () => { hold.classList.add("held"); this.press(name()); };
    const end = () => { if (hold.classList.contains("held")) { hold.classList.remove("held"); this.release(); } };
    const isKey = (event) => event.key === " " || event.key === "Enter";
    hold.addEventListener("pointerdown", (event) => {
      if (event.button === 0) { hold.setPointerCapture(event.pointerId); begin(); }
    });
    for (const type of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) hold.addEventListener(type, end);
    hold.addEventListener("keydown", (event) => {
      if (isKey(event)) { event.preventDefault(); if (!event.repeat) begin(); }
    });
    hold.addEventListener("keyup", (event) => { if (isKey(event)) { event.preventDefault(); end(); } });
    hold.addEventListener("click", (event) => { if (event.detail === 0) this.countdown(name()); }); // of a screen reader
    hold.addEventListener("contextmenu", (event) => event.preventDefault());
    return hold;
  }

  say(text, kind = "") {
    this.live.count.className = `count ${kind}`;
    show(this.live.count, text && h("span", {}, text));
  }

  press(name) {
    if (!this.live.stream || !name) return;
    this.stop();
    this.begin(name, LONGEST);
  }

  /** Records for at most `longest` seconds. */
  begin(name, longest) {
    Object.assign(this, { name, since: performance.now(), finish: record(this.live.stream) });
    this.clock(this.turn, longest);
  }

  /** Shows the length of the recording while it runs. */
  clock(turn, longest) {
    if (turn !== this.turn || !this.finish) return;
    const length = (performance.now() - this.since) / 1000;
    if (length >= longest) { this.keep(); return; }
    this.say(t("record.running", { label: spoken(this.name), time: length.toFixed(1) }), "running");
    setTimeout(() => this.clock(turn, longest), 100);
  }

  release() {
    if (!this.finish) return;
    if (performance.now() - this.since < TAP) this.countdown(this.name); else this.keep();
  }

  async countdown(name) {
    if (!this.live.stream || !name) return;
    this.stop();
    const { turn } = this;
    for (let left = COUNTDOWN; left > 0; left -= 1) {
      this.say(String(left), "big");
      announce(String(left));
      await sleep(1);
      if (turn !== this.turn || !this.live.stream) { this.say(null); return; }
    }
    this.begin(name, LENGTH);
  }

  async keep() {
    const { finish, name } = this;
    this.finish = null;
    this.say(null);
    this.save(name, await finish());
    announce(t("record.saved", { label: spoken(name) }));
  }

  /** Ends a countdown or a recording, which is not kept. */
  stop() {
    this.turn += 1;
    this.finish?.();
    this.finish = null;
    this.say(null);
  }
}
