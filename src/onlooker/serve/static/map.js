// A map of all clips: near each other where the model sees them alike; outliers stand out.

import { colorOf, spoken } from "./colors.js";
import { h, show, t } from "./dom.js";
import { preview } from "./wall.js";

const [WIDTH, HEIGHT, EDGE] = [640, 320, 24];

/** A scale from `low` to `high` on which most points have most of the room, and outliers are still far away. */
function scale(values, low, high) {
  const middle = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
  const center = middle(values);
  const spread = middle(values.map((value) => Math.abs(value - center))) || 1;
  const place = (value) => Math.asinh((value - center) / (2 * spread));
  const [least, most] = [Math.min(...values.map(place)), Math.max(...values.map(place))];
  return (value) => low + ((high - low) * (place(value) - least)) / (most - least || 1);
}

/** `points` of /api/project/map as an image; `open(clip id)` is called when one is chosen. */
export function clipMap(points, open) {
  const x = scale(points.map((point) => point.x), EDGE, WIDTH - EDGE);
  const y = scale(points.map((point) => point.y), HEIGHT - EDGE, EDGE);
  const glance = h("div.glance", { hidden: true, "aria-hidden": "true" });
  const look = (point) => {
    glance.hidden = !point;
    if (!point) return;
    glance.style.setProperty("--left", `${(100 * x(point.x)) / WIDTH}%`);
    glance.style.setProperty("--top", `${(100 * y(point.y)) / HEIGHT}%`);
    glance.classList.toggle("below", y(point.y) < HEIGHT / 2);
    show(glance, preview(point.clip), h("span", {}, spoken(point.label)));
  };
  const mark = (point) => h("g", {
    class: point.outlier ? "mark outlier" : "mark", tabindex: 0, role: "button",
    "aria-label": t(point.outlier ? "map.outlier" : "map.point", { label: spoken(point.label) }),
      "--color": colorOf(point.label),
    onclick: () => open(point.clip), onpointerenter: () => look(point), onpointerleave: () => look(null),
      onfocus: () => look(point), onblur: () => look(null),
    onkeydown: (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(point.clip); }
    },
  }, point.outlier && h("circle", { class: "ring", cx: x(point.x), cy: y(point.y), r: 12 }),
    h("circle", { cx: x(point.x), cy: y(point.y), r: 6 }));
  const order = [...points].sort((a, b) => Number(a.outlier) - Number(b.outlier));
  const names = [...new Set(points.map((point) => point.label))];
  return h("div.map", {},
    h("div.map-plot", {},
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": t("map.title") }, order.map(mark)),
    glance),
    h("ul.chips", {}, names.map((name) => h("li", {}, h("span.dot", { "--color": colorOf(name) }), spoken(name))),
      h("li.ring-note", {}, t("map.ring"))));
}
