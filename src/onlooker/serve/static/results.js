// What a training reached: accuracy with its interval, and the confusion matrix with its clips.

import { get } from "./api.js";
import { colorOf, spoken } from "./colors.js";
import { button, complain, h, sentence, t } from "./dom.js";
import { reportLink } from "./models.js";
import { clipsDialog } from "./wall.js";

/** Rows: true class, columns: predicted class; a cell opens its clips. */
function matrix({ classes, confusion }, openClips) {
  const cell = (count, row, column) => {
    const share = count / Math.max(1, confusion[row].reduce((sum, each) => sum + each, 0));
    const label = t("matrix.cell", { label: spoken(classes[row]), prediction: spoken(classes[column]), count });
    const open = () => openClips(label, `?${new URLSearchParams({ truth: classes[row], predicted: classes[column] })}`);
    const inside = count ? h("button.cell", { type: "button", "aria-label": label, onclick: open }, String(count))
      : h("span.zero", {}, "·");
    return h(row === column ? "td.hit" : "td", { "--share": share.toFixed(2) }, inside);
  };
  const name = (text) => [h("span.dot", { "--color": colorOf(text) }), h("span", { title: spoken(text) }, spoken(text))];
  return h(`div.matrix${classes.length > 5 ? ".upright" : ""}`, { tabindex: 0, role: "region", "aria-label": t("matrix.title") }, h("table", {},
    h("caption", {}, t("matrix.caption")),
    h("thead", {}, h("tr", {}, h("td"), classes.map((text) => h("th", { scope: "col" }, name(text))))),
    h("tbody", {}, confusion.map((row, i) => h("tr", {}, h("th", { scope: "row" }, name(classes[i])),
      row.map((count, k) => cell(count, i, k)))))));
}

/** Keeps a number and its percent sign on one line. */
const unbroken = (text) => text.replaceAll(" %", "\u00a0%");

export function resultsView(results, page) {
  const openClips = (title, path) =>
    get(`api/project/results/clips${path}`).then((clips) => clipsDialog(title, clips, page), complain);
  const wrong = t("results.wrong", { count: results.wrong });
  return [h("div.reached", {},
    results.confusion && h("p.accuracy", {}, h("b", {}, unbroken(results.share)),
      h("span", {}, t("results.of", { count: results.clips }))),
    [results.conclusion, results.events && t("results.events", results),
      results.missing ?? results.advice[0]].filter(Boolean)
      .map((text) => h("p.conclusion", {}, sentence(unbroken(text)))),
    results.details && h("details", {}, h("summary", {}, t("results.details")),
      h("p.conclusion", {}, sentence(unbroken(results.details))))),
  results.confusion && matrix(results, openClips),
  h("div.row", {}, button("camera", t("results.live"), () => page.parts.teach.tryLive(), { kind: "primary" }),
    button("upload", t("results.clip"), () => page.go("look")),
    results.wrong > 0 && button(null, wrong, () => openClips(wrong, "")),
    button(null, t("results.check"), () => page.go("correct")),
    page.state.models.filter(({ id }) => id === page.project.model).map(reportLink))];
}
