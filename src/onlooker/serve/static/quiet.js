// Quiet time: ten minutes in which none of the classes happens, with a clock, in pieces that are sent as they end.

import { upload } from "./api.js";
import { endingOf, record } from "./camera.js";
import { button, complain, h, sleep, t } from "./dom.js";

const LENGTH = 600; // seconds
const PIECE = 30; // seconds

export class QuietTime {
  /** `live`: a LiveView; `changed()` is called when pieces were kept. */
  constructor(live, changed) {
    Object.assign(this, { live, changed, kept: 0, running: false });
    this.clock = h("span.hint", { role: "timer" });
    this.start = button("camera", t("quiet.start"), () => this.record(), { title: t("quiet.why") });
    this.end = button("close", t("quiet.stop"), () => this.stop());
    this.element = h("div.row.quiet-time", {}, this.start, this.end, this.clock);
    this.show();
  }

  /** `seconds`: those of the project. */
  update(seconds) { this.kept = seconds; this.show(); }

  show(left = 0) {
    this.start.hidden = this.running;
    this.end.hidden = !this.running;
    const clock = `${Math.floor(left / 60)}:${String(Math.floor(left % 60)).padStart(2, "0")}`;
    const minutes = Math.round(this.kept / 6) / 10;
    this.clock.textContent = this.running ? t("quiet.left", { clock }) : this.kept ? t("quiet.kept", { minutes }) : t("quiet.why");
  }

  async record() {
    const { stream } = this.live;
    const end = performance.now() + 1000 * LENGTH;
    const sent = [];
    const left = () => (this.running && stream.active ? (end - performance.now()) / 1000 : 0);
    this.running = true;
    while (left() > 0) {
      const finish = record(stream);
      const next = left() - PIECE;
      while (left() > Math.max(0, next)) { this.show(left()); await sleep(100); }
      sent.push(finish().then((blob) => upload("api/project/quiet", blob, `quiet.${endingOf(blob)}`)).catch(complain));
    }
    this.running = false;
    this.show();
    await Promise.all(sent);
    this.changed();
  }

  stop() { this.running = false; }
}
