// The classes of a model as bars that follow the moment.

import { colorOf, spoken } from "./colors.js";
import { h, percent, show, t } from "./dom.js";

const TOP = 5;

/** Bars of a few classes, in an order that does not jump, and of "nothing" where the model has a threshold. */
export class Bars {
  constructor() {
    this.element = h("ul.bars", { "aria-label": t("bars.label") });
    this.rows = new Map();
  }

  /** `names`, best first; `threshold`: the score below which the answer is "nothing", or null. */
  set(names, threshold) {
    const shown = names.slice(0, TOP);
    if (names.includes("nothing") && !shown.includes("nothing")) shown[TOP - 1] = "nothing";
    if (threshold !== null && !names.includes("nothing")) shown.push("nothing");
    this.key = [...shown, threshold].join("\n");
    this.judged = threshold !== null && !names.includes("nothing"); // "nothing" has no score of its own
    this.rows = new Map(shown.map((name) => [name, this.row(name, threshold)]));
    show(this.element, [...this.rows.values()].map((row) => row.item));
  }

  row(name, threshold) {
    const value = h("span.value");
    const mark = threshold !== null && name !== "nothing" ? h("span.mark", { "--at": `${100 * threshold}%`, title: t("bars.threshold") }) : null;
    const item = h("li", { "--color": colorOf(name) }, h("span.name", { title: spoken(name) }, spoken(name)),
      h("span.track", {}, h("span.fill"), mark), value);
    return { item, value };
  }

  /** Shows scores, a mapping from names, and the label of the moment. */
  update(scores, label) {
    for (const [name, { item, value }] of this.rows) {
      const silent = name === "nothing" && this.judged;
      const score = silent ? Number(label === "nothing") : scores[name] ?? 0;
      item.style.setProperty("--score", score.toFixed(3));
      item.classList.toggle("best", name === label);
      value.textContent = silent ? (label === "nothing" ? t("bars.below") : "") : percent(score);
    }
  }
}
