// Frames of a camera to the server, answers back: at the model's frame rate or the machine's speed, connecting again
// when the connection is lost.

import { ApiError } from "./api.js";
import { t } from "./dom.js";

const WIDTH = 480; // pixels of a frame that is sent; models see fewer
const AHEAD = 2; // frames on their way at the same time: one is looked at while the next one travels
const PATIENCE = 4000; // ms after which an answer is no longer waited for

/** `model` as in /api/state; `view` gets answer(message) and state(name, error): connecting, live, lost, refused. */
export class LiveConnection {
  constructor(video, model, view) {
    Object.assign(this, { video, model, view, tries: 0, due: 0 });
    this.period = model.frame_rate ? 1000 / model.frame_rate : 0; // ms between frames, as in training
    this.canvas = new OffscreenCanvas(1, 1);
    this.connect();
  }

  connect() {
    this.view.state("connecting");
    const address = new URL(`api/live?model=${encodeURIComponent(this.model.id)}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.waiting = [];
    this.socket.onopen = () => { this.tries = 0; this.pump(this.socket); };
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = () => this.lost();
  }

  receive(message) {
    if (message.error) {
      this.refused = true;
      this.view.state("refused", new ApiError(0, message.error));
      return;
    }
    this.waiting = this.waiting.filter((sent) => sent > message.sent);
    this.view.state("live");
    const { width, height } = this.canvas;
    this.view.answer({ ...message, width, height, delay: performance.now() - message.sent });
  }

  lost() {
    if (this.closed || this.refused) return;
    const pause = Math.min(10, 2 ** this.tries++);
    const remedy = t("live.lost_remedy", { seconds: pause });
    this.view.state("lost", new ApiError(0, { code: "lost", found: t("live.lost"), remedy }));
    this.retry = setTimeout(() => this.connect(), 1000 * pause);
  }

  /** Sends a frame whenever one is due, the video has a new one, and the server keeps up. */
  pump(socket) {
    if (this.closed || socket !== this.socket || socket.readyState !== WebSocket.OPEN) return;
    this.waiting = this.waiting.filter((sent) => sent > performance.now() - PATIENCE);
    const next = () => this.pump(socket);
    const wait = () => (document.hidden ? setTimeout(next, 33) : this.video.requestVideoFrameCallback(next));
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
    const image = await this.canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(new Blob([new Float64Array([sent]), image]));
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    this.socket.onmessage = null;
    this.socket.close();
  }
}
