// Where the model looks, drawn over a playing video: heat map, box, and the controls of these.

import { canvasColor, spoken } from "./colors.js";
import { h, t } from "./dom.js";

// Colors of the heat map, as in drawn clips (report/overlay.py): blue, green, yellow, red.
const RAMP = [[0, 70, 97, 214], [0.14, 56, 165, 251], [0.29, 25, 226, 187], [0.43, 101, 253, 105], [0.57, 193, 243, 52],
  [0.71, 246, 195, 58], [0.86, 249, 120, 30], [1, 212, 51, 5]];

function rampColor(value) {
  const high = Math.max(1, RAMP.findIndex(([stop]) => stop >= value));
  const [from, to] = [RAMP[high - 1], RAMP[high]];
  const share = (value - from[0]) / (to[0] - from[0]);
  return [1, 2, 3].map((channel) => from[channel] + share * (to[channel] - from[channel]));
}

/** A map `h w` from 0 to 1 as a small image, one pixel per cell, transparent where it is 0. */
function heatPicture(map) {
  const [height, width] = [map.length, map[0].length];
  const image = new OffscreenCanvas(width, height);
  const data = new ImageData(width, height);
  map.flat().forEach((shown, cell) => {
    data.data.set([...rampColor(shown), 255 * Math.min(1, 1.1 * Math.sqrt(shown))], 4 * cell);
  });
  image.getContext("2d").putImageData(data, 0, 0);
  return image;
}

/** Gives a canvas the pixels of where it is shown, all transparent; its context draws in CSS pixels. */
function cleared(canvas) {
  const { clientWidth, clientHeight } = canvas;
  const [width, height] = [clientWidth, clientHeight].map((length) => Math.round(length * devicePixelRatio));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, clientWidth, clientHeight);
  return context;
}

function drawHeat(context, map, opacity) {
  context.globalAlpha = opacity;
  context.imageSmoothingQuality = "high";
  context.drawImage(heatPicture(map), 0, 0, context.canvas.clientWidth, context.canvas.clientHeight);
  context.globalAlpha = 1;
}

function drawTag(context, text, x, y) {
  context.font = "600 13px system-ui, sans-serif";
  const width = context.measureText(text).width + 14;
  const left = Math.max(0, Math.min(x, context.canvas.clientWidth - width));
  const top = y < 22 ? y + 2 : y - 22;
  context.fillStyle = "rgba(12, 14, 18, 0.82)";
  context.fillRect(left, top, width, 22);
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(text, left + 7, top + 11.5);
}

/** Begins the path of a box; returns its left and top in CSS pixels. */
function outline(context, { corners: [x1, y1, x2, y2] }, { width, height }) {
  const [across, down] = [context.canvas.clientWidth / width, context.canvas.clientHeight / height];
  const [left, top] = [x1 * across, y1 * down];
  context.beginPath();
  context.roundRect(left, top, (x2 - x1) * across, (y2 - y1) * down, 6);
  return [left, top];
}

/** Makes the heat map paler inside of a box: what it marks can be seen. */
function reveal(context, box, moment) {
  outline(context, box, moment);
  context.globalCompositeOperation = "destination-out";
  context.fillStyle = "rgba(0, 0, 0, 0.4)";
  context.fill();
  context.globalCompositeOperation = "source-over";
}

function drawBox(context, box, moment) {
  const { label } = box;
  const [left, top] = outline(context, box, moment);
  const dark = "rgba(12, 14, 18, 0.65)"; // an edge that separates it from any video
  for (const [strokeStyle, lineWidth] of [[dark, 5], [canvasColor(label, context.canvas), 2.5]]) {
    Object.assign(context, { strokeStyle, lineWidth });
    context.stroke();
  }
  drawTag(context, spoken(label), left, top - 4);
}

/** A moment as in a mirror. */
const mirror = ({ heat, boxes, width }) => ({
  heat: heat?.map((row) => row.toReversed()),
  boxes: boxes.map(({ corners: [x1, y1, x2, y2], ...box }) => ({ ...box, corners: [width - x2, y1, width - x1, y2] })),
});

/** Draws a moment, `{heat, boxes, width, height}` with boxes in its pixels, as `options` (heat 0 to 1, box) ask. */
export function drawMoment(canvas, moment, options, mirrored = false) {
  const context = cleared(canvas);
  if (!moment) return;
  const { heat, boxes } = mirrored ? mirror(moment) : moment;
  if (heat && options.heat > 0) drawHeat(context, heat, options.heat);
  if (!options.box) return;
  for (const draw of [reveal, drawBox]) for (const box of boxes) draw(context, box, moment);
}

/** The moment of an answer (see `look`) at one of its times. */
export const momentOf = ({ heat, tubes, indices, width, height }, place) => ({
  heat: heat?.[place] ?? null, width, height,
  boxes: tubes.map(({ frames, boxes, ...tube }) => ({ ...tube, corners: boxes[frames.indexOf(indices[place])] }))
    .filter(({ corners }) => corners),
});

/** The moment of an answer that is seen at `time`. */
export const momentAt = (result, time) => momentOf(result, placeAt(result, time));

/** The place of the last of an answer's times until `time`. */
export const placeAt = ({ times }, time) => Math.max(0, times.findLastIndex((each) => each <= time + 1e-6));

/** A slider for the heat map and a switch for the box; they change `drawn` and call `onchange`. */
export function drawnControls(drawn, onchange = () => {}) {
  const change = (name, value) => { drawn[name] = value; onchange(); };
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: drawn.heat,
    "aria-label": t("drawn.heat"), oninput: ({ target }) => change("heat", Number(target.value)) });
  return h("fieldset.drawn", {}, h("legend", {}, t("drawn.title")),
    h("label.field.slider", {}, h("span", {}, t("drawn.heat")), slider),
    h("label.switch", {}, h("input", { type: "checkbox", checked: drawn.box,
      onchange: ({ target }) => change("box", target.checked) }), h("span", {}, t("drawn.box"))));
}
