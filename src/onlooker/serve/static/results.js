// What a training reached: accuracy with its interval, confusion matrix with clips, learning curve.

import { colorOf, spoken } from "./colors.js";
import { button, h, percent, sentence, t } from "./dom.js";
import { clipsById, clipsDialog } from "./wall.js";

/** A line through `[[x, share]]`, shares from 0 to 1. */
function chart(points, label) {
  const [left, right] = [points[0][0], points.at(-1)[0]];
  const place = ([x, y]) => [40 + (240 * (x - left)) / (right - left || 1), 90 - 78 * y];
  const grid = [0, 0.5, 1].map((y) =>
    h("g", {}, h("line", { x1: 40, x2: 280, y1: 90 - 78 * y, y2: 90 - 78 * y, class: "grid" }),
    h("text", { x: 34, y: 94 - 78 * y, "text-anchor": "end" }, percent(y))));
  const marks = points.length > 12 ? []
    : points.map((point) => h("circle", { cx: place(point)[0], cy: place(point)[1], r: 3 }));
  const ends = [...new Set([left, right])].map((x) =>
    h("text", { x: place([x, 0])[0], y: 108, "text-anchor": "middle" }, String(Math.round(10 * x) / 10)));
  const summary = points.map(([x, y]) => `${x}: ${percent(y)}`).join(", ");
  return h("figure.chart", {},
    h("svg", { viewBox: "0 0 290 112", role: "img", "aria-label": `${label}: ${summary}` }, grid,
    h("polyline", { points: points.map((point) => place(point).join(",")).join(" ") }), marks, ends),
      h("figcaption", {}, label));
}

/** Rows: true class, columns: predicted class; a cell opens its clips. */
function matrix(results, page) {
  const { classes, confusion, cells } = results;
  const open = (row, column) => {
    const clips = clipsById(page.project);
    const shown = cells[row][column].map((id) => clips.get(id)).filter(Boolean);
    const names = { label: spoken(classes[row]), prediction: spoken(classes[column]) };
    clipsDialog(t("matrix.cell", { ...names, count: shown.length }), shown, page.project, page.change);
  };
  const cell = (count, row, column) => {
    const share = count / Math.max(1, confusion[row].reduce((sum, each) => sum + each, 0));
    const label = t("matrix.cell", { label: spoken(classes[row]), prediction: spoken(classes[column]), count });
    const inside = !count ? h("span.zero", {}, "·") : !cells ? h("span.cell", {}, String(count))
      : h("button.cell", { type: "button", "aria-label": label, onclick: () => open(row, column) }, String(count));
    return h(row === column ? "td.hit" : "td.miss", { "--share": share.toFixed(2) }, inside);
  };
  const name = (text) => [h("span.dot", { "--color": colorOf(text) }),
    h("span", { title: spoken(text) }, spoken(text))];
  return h("div.matrix", { tabindex: 0, role: "region", "aria-label": t("matrix.title") }, h("table", {},
    h("caption", {}, t("matrix.caption")),
    h("thead", {}, h("tr", {}, h("td"), classes.map((text) => h("th", { scope: "col" }, name(text))))),
    h("tbody", {}, confusion.map((row, i) => h("tr", {}, h("th", { scope: "row" }, name(classes[i])),
      row.map((count, k) => cell(count, i, k)))))));
}

/** Results, also those of a training that runs: these have no `cells`, which list the clips. */
export function resultsView(results, page, ready = true) {
  const curve = results.curve ?? [];
  const reached = h("div.reached", {},
    h("p.accuracy", {}, h("b", {}, percent(results.accuracy)),
      h("span", {}, t("results.of", { count: results.clips }))),
    [results.conclusion, results.advice?.[0]].filter(Boolean).map((text) => h("p.conclusion", {}, sentence(text))),
    curve.length > 1 && chart(curve.map((point) => [point.clips_per_class, point.accuracy]), t("results.curve")),
    ready ? h("div.row", {}, button("camera", t("results.live"), () => page.tryLive(), { kind: "primary" }),
      button("upload", t("results.clip"), () => page.go("look")))
      : h("p.hint", {}, t("results.so_far")));
  return [reached, matrix(results, page)];
}
