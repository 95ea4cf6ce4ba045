// What is drawn over videos: controls that every view shares.

import { h, t } from "./dom.js";

/** A slider for the heat map and switches for box and point; they change `drawn` and call `onchange`. */
export function drawnControls(drawn, onchange = () => {}) {
  const slider = h("input",
    { type: "range", min: 0, max: 1, step: 0.05, value: drawn.heat, "aria-label": t("drawn.heat"),
    oninput: () => { drawn.heat = Number(slider.value); onchange(); } });
  const toggle = (name) => {
    const box = h("input", { type: "checkbox", checked: drawn[name], onchange: () => {
      drawn[name] = box.checked;
      onchange();
    } });
    return h("label.switch", {}, box, h("span", {}, t(`drawn.${name}`)));
  };
  return h("fieldset.drawn", {}, h("legend", {}, t("drawn.title")),
    h("label.field.slider", {}, h("span", {}, t("drawn.heat")), slider),
      h("div.row", {}, toggle("box"), toggle("point")));
}
