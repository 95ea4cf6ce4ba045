// What the model attends to, drawn over a playing video: heat map, box, point.

import { canvasColor, spoken } from "./colors.js";
import { percent } from "./dom.js";

// Color of the heat map by attention: dark violet, magenta, orange, pale yellow.
const RAMP = [[0, 38, 12, 92], [0.35, 150, 34, 120], [0.65, 243, 96, 54], [0.85, 252, 176, 60], [1, 255, 240, 170]];

function rampColor(value) {
  const high = Math.max(1, RAMP.findIndex(([stop]) => stop >= value));
  const [from, to] = [RAMP[high - 1], RAMP[high]];
  const share = (value - from[0]) / (to[0] - from[0]);
  return [1, 2, 3].map((channel) => from[channel] + share * (to[channel] - from[channel]));
}

// Attention above the mean of its frame is drawn. The contrast is partly that of the frame, so that moments of spread
// attention show something; of even attention nothing is drawn.
const FRAME_CONTRAST = 0.75;

/** A map `h w` from 0 to 1 as a small image, one pixel per cell, transparent where attention is low. */
function heatPicture(map) {
  const [height, width] = [map.length, map[0].length];
  const image = new OffscreenCanvas(width, height);
  const data = new ImageData(width, height);
  const values = map.flat();
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const contrast = 1 - FRAME_CONTRAST + FRAME_CONTRAST * (Math.max(...values) - mean);
  values.forEach((value, cell) => {
    const shown = Math.min(1, Math.max(0, (value - mean) / contrast));
    data.data.set([...rampColor(shown), 255 * Math.min(1, 1.1 * Math.sqrt(shown))], 4 * cell);
  });
  image.getContext("2d").putImageData(data, 0, 0);
  return image;
}

function fit(canvas) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return ratio;
}

function drawHeat(context, map, opacity, mirrored) {
  const { width, height } = context.canvas;
  context.save();
  context.globalAlpha = opacity;
  context.imageSmoothingQuality = "high";
  if (mirrored) { context.translate(width, 0); context.scale(-1, 1); }
  context.drawImage(heatPicture(map), 0, 0, width, height);
  context.restore();
}

function drawTag(context, text, x, y, color, ratio) {
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  const [pad, high] = [7 * ratio, 22 * ratio];
  const width = context.measureText(text).width + 2 * pad;
  const left = Math.max(0, Math.min(x, context.canvas.width - width));
  const top = y - high < 0 ? y + 2 * ratio : y - high;
  context.fillStyle = "rgba(12, 14, 18, 0.82)";
  context.beginPath();
  context.roundRect(left, top, width, high, 5 * ratio);
  context.fill();
  context.fillStyle = color;
  context.fillRect(left, top + 4 * ratio, 3 * ratio, high - 8 * ratio);
  context.fillStyle = "#fff";
  context.textBaseline = "middle";
  context.fillText(text, left + pad, top + high / 2 + ratio / 2);
}

function drawBox(context, box, mirrored, ratio) {
  const { width, height } = context.canvas;
  const [x1, y1, x2, y2] = box.corners;
  const [left, top] = [(mirrored ? 1 - x2 : x1) * width, y1 * height];
  const color = canvasColor(box.label, context.canvas);
  context.beginPath();
  context.roundRect(left, top, (x2 - x1) * width, (y2 - y1) * height, 6 * ratio);
  context.lineWidth = 5 * ratio;
  context.strokeStyle = "rgba(12, 14, 18, 0.6)";
  context.stroke();
  context.lineWidth = 2.5 * ratio;
  context.strokeStyle = color;
  context.stroke();
  const score = box.score === null || box.score === undefined ? "" : ` ${percent(box.score)}`;
  drawTag(context, `${spoken(box.label)}${score}`, left, top - 4 * ratio, color, ratio);
}

function drawPoint(context, [x, y], mirrored, ratio) {
  const center = [(mirrored ? 1 - x : x) * context.canvas.width, y * context.canvas.height];
  for (const [color, line] of [["rgba(12, 14, 18, 0.7)", 5], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = line * ratio;
    context.beginPath();
    context.arc(...center, 9 * ratio, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** Draws one moment: `{attention, boxes, point}`, with what `options` (heat 0 to 1, box, point) ask for. */
export function drawMoment(canvas, moment, options, mirrored = false) {
  const ratio = fit(canvas);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!moment) return;
  if (moment.attention && options.heat > 0) drawHeat(context, moment.attention, options.heat, mirrored);
  if (moment.point && options.point) drawPoint(context, moment.point, mirrored, ratio);
  if (options.box) for (const box of moment.boxes ?? []) drawBox(context, box, mirrored, ratio);
}

/** The moment of an answer (see `look`) at frame `index`. */
export function momentOf(answer, index) {
  return {
    attention: answer.attention?.[index] ?? null,
    point: answer.points?.[index] ?? null,
    boxes: answer.boxes.filter((box) => box.t === index),
  };
}
