// Frames of a camera to the server, answers back: at the model's frame rate or the machine's speed, connecting again when
// the connection is lost.

import { ApiError } from "./api.js";
import { t } from "./dom.js";

const WIDTH = 480; // pixels of a frame that is sent; models see fewer
const AHEAD = 2; // frames on their way at the same time: one is looked at while the next one travels
const PATIENCE = 4000; // ms after which an answer is no longer waited for

/** `model` as in /api/state; `on`: {answer(message), state(name, error)} with the states
    connecting, live, lost, refused. */
export class LiveConnection {
  constructor(video, model, on) {
    Object.assign(this, { video, model, on, tries: 0, due: 0 });
    this.period = model.frame_rate ? 1000 / model.frame_rate : 0; // ms between frames, as in training
    this.canvas = document.createElement("canvas");
    this.connect();
  }

  connect() {
    this.disconnect();
    this.on.state("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/api/live?model=${encodeURIComponent(this.model.id)}`);
    this.socket.binaryType = "arraybuffer";
    this.waiting = [];
    this.socket.onopen = () => { this.tries = 0; this.pump(this.socket); };
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = () => this.lost();
  }

  receive(message) {
    if (message.error) {
      this.refused = true;
      this.on.state("refused", new ApiError(0, message.error));
      return;
    }
    this.waiting = this.waiting.filter((sent) => sent > message.received);
    this.on.state("live");
    this.on.answer({ ...message, delay: performance.now() - message.sent });
  }

  lost() {
    if (this.closed || this.refused) return;
    const pause = Math.min(10, 2 ** this.tries++);
    const error = new ApiError(0,
      { code: "lost", found: t("live.lost"), remedy: t("live.lost_remedy", { seconds: pause }) });
    this.on.state("lost", error);
    this.retry = setTimeout(() => this.connect(), 1000 * pause);
  }

  /** Sends a frame whenever one is due, the video has a new one, and the server keeps up. */
  pump(socket) {
    if (this.closed || socket !== this.socket || socket.readyState !== WebSocket.OPEN) return;
    this.waiting = this.waiting.filter((sent) => sent > performance.now() - PATIENCE);
    const next = () => this.pump(socket);
    const wait = () => (this.video.requestVideoFrameCallback && !document.hidden
      ? this.video.requestVideoFrameCallback(next) : setTimeout(next, 33));
    const now = performance.now();
    if (this.waiting.length >= AHEAD || !this.video.videoWidth || now < this.due) { setTimeout(next, 8); return; }
    this.due = Math.max(this.due, now - this.period / 2) + this.period; // a late frame does not delay all others
    this.sendFrame().then(wait, wait);
  }

  async sendFrame() {
    const { videoWidth, videoHeight } = this.video;
    const width = Math.min(WIDTH, videoWidth);
    Object.assign(this.canvas, { width, height: Math.round((width * videoHeight) / videoWidth) });
    const sent = performance.now();
    this.waiting.push(sent);
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    const image = await new Promise((resolve) => this.canvas.toBlob(resolve, "image/jpeg", 0.85));
    const message = new Uint8Array(8 + image.size);
    new DataView(message.buffer).setFloat64(0, sent, true);
    message.set(new Uint8Array(await image.arrayBuffer()), 8);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  close() {
    this.closed = true;
    this.disconnect();
  }

  disconnect() {
    clearTimeout(this.retry);
    if (!this.socket) return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }
}
