// A model that `onlooker export` has written, in a web page: pixels of a frame in, class probabilities out.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1; // more need a server that sends COOP and COEP headers

export class Step {
  /** Load `step.json` and `step.onnx` from a folder. */
  static async load(folder) {
    const about = await (await fetch(`${folder}/step.json`)).json();
    if (about.motion) throw new Error("a page has no motion words: train the model with --eyes pictures");
    if (about.frame.views) throw new Error("a page has no crops: train the model with --eyes pictures");
    return new Step(about, await ort.InferenceSession.create(`${folder}/step.onnx`));
  }

  constructor(about, session) {
    Object.assign(this, { about, session, classes: about.classes, size: about.frame.size });
    this.channels = about.frame.shape[3];
    this.reset();
  }

  /** Begin a new stream. */
  reset() {
    this.state = {};
    for (const [name, { shape }] of Object.entries(this.about.state)) {
      const dims = [1, ...shape.slice(1)];
      const count = dims.reduce((product, dim) => product * dim, 1);
      this.state[name] = new ort.Tensor("float32", new Float32Array(count), dims);
    }
  }

  /** One frame: bytes of `size × size` pixels, RGB or gray; returns `{scores, attention}`. */
  async run(pixels) {
    const frame = new ort.Tensor("uint8", pixels, [1, this.size, this.size, this.channels]);
    const outputs = await this.session.run({ frame, ...this.state });
    for (const [name, { next }] of Object.entries(this.about.state)) this.state[name] = outputs[next];
    return { scores: [...outputs.scores.data], attention: outputs.attention && [...outputs.attention.data] };
  }
}

/** What a video or a camera shows now, as `Step.run` takes it. */
export function pixelsOf(video, { size, channels }) {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(video, 0, 0, size, size);
  const rgba = context.getImageData(0, 0, size, size).data;
  const pixels = new Uint8Array(size * size * channels);
  for (let i = 0; i < size * size; i++) {
    const [r, g, b] = rgba.subarray(4 * i, 4 * i + 3);
    if (channels === 1) pixels[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    else pixels.set([r, g, b], 3 * i);
  }
  return pixels;
}
