// Recording clips of a class: hold, or tap for a countdown.

import { record } from "./camera.js";
import { spoken } from "./colors.js";
import { announce, button, h, show, sleep, t } from "./dom.js";

const TAP = 400; // ms; a shorter press starts the countdown
const COUNTDOWN = 3; // seconds
const LENGTH = 2.5; // seconds of a clip after the countdown
const LONGEST = 10; // seconds

export class Recorder {
  /** `live`: a LiveView; `save(name, blob)` keeps a clip. */
  constructor(live, save) {
    Object.assign(this, { live, save, turn: 0, pressed: false });
  }

  /** A button that records clips of the class that `name()` gives; a click without a pointer counts down. */
  holdButton(name, label) {
    const begin = () => { hold.classList.add("held"); this.press(name()); };
    const end = () => { hold.classList.remove("held"); this.release(); };
    const hold = button("camera", label, (event) => { if (event.detail === 0) this.countdown(name()); }, {
      kind: "hold.primary", onblur: end, onlostpointercapture: end,
      onpointerdown: (event) => { if (event.button === 0) { hold.setPointerCapture(event.pointerId); begin(); } },
      oncontextmenu: (event) => event.preventDefault() });
    return hold;
  }

  say(text, kind = "") {
    this.live.count.className = `count ${kind}`;
    show(this.live.count, text && h("span", {}, text));
  }

  press(name) {
    if (!this.live.stream || !name || this.pressed) return;
    this.stop();
    this.pressed = true;
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

  /** Ends what a press has begun; after a short one, a countdown begins. */
  release() {
    const held = this.pressed && this.finish;
    this.pressed = false;
    if (!held) return;
    if (performance.now() - this.since < TAP) this.countdown(this.name); else this.keep();
  }

  async countdown(name) {
    if (!this.live.stream || !name) return;
    this.stop();
    const { turn } = this;
    for (let left = COUNTDOWN; left > 0; left -= 1) {
      this.say(String(left), "big");
      announce(String(left));
      await sleep(1000);
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
    this.pressed = false;
    this.finish?.();
    this.finish = null;
    this.say(null);
  }
}
