// The classes of a model as bars that follow the moment.

import { colorOf, isQuiet, spoken } from "./colors.js";
import { h, patch, percent, t } from "./dom.js";

const TOP = 5;
const FADE = 0.95; // per update: how long a class that was likely stays among the bars

/** How sure a model is of a label; without a class that reaches the threshold, it is nothing. */
export const sureness = (label, score, scores) =>
  (isQuiet(label) && score < Math.max(...scores) ? t("bars.unreached") : t("bars.sure", { score: percent(score) }));

/** Bars of a few classes, which change places only when another class becomes the answer. */
export class Bars {
  constructor() {
    this.element = h("ul.bars", { "aria-label": t("bars.label") });
    this.rows = new Map();
  }

  /** `names`, best first; `threshold`: the score below which the answer is `nothing`, or null. */
  set(names, threshold, nothing) {
    Object.assign(this, { threshold, nothing });
    this.judged = threshold !== null && !names.includes(nothing); // `nothing` has no score
    const shown = names.filter((name) => name !== nothing).slice(0, TOP);
    const silent = threshold !== null || names.includes(nothing) ? [nothing] : [];
    this.rows = new Map([...shown, ...silent].map((name) => [name, this.row(name)]));
    this.arrange();
  }

  arrange() { patch(this.element, [...this.rows.values()].map((row) => row.item)); }

  row(name) {
    const value = h("span.value");
    const marked = this.threshold !== null && name !== this.nothing;
    const mark = marked && h("span.mark",
      { "--at": `${100 * this.threshold}%`, title: t("bars.threshold", { label: spoken(this.nothing) }) });
    const item = h("li", { "--color": colorOf(name) }, h("span.name", { title: spoken(name) }, spoken(name)),
      h("span.track", {}, h("span.fill"), mark), value);
    return { item, value, recent: 0 };
  }

  /** Gives the answer a bar, instead of the class that was least likely lately. */
  admit(label) {
    const others = [...this.rows].filter(([name]) => name !== this.nothing);
    const [least] = others.reduce((a, b) => (b[1].recent < a[1].recent ? b : a));
    this.rows = new Map([...this.rows].map(([name, row]) => (name === least ? [label, this.row(label)] : [name, row])));
    this.arrange();
  }

  /** Shows scores, a mapping from names, and the label of the moment. */
  update(scores, label) {
    if (label !== this.nothing && this.rows.size && !this.rows.has(label)) this.admit(label);
    for (const [name, row] of this.rows) {
      const silent = name === this.nothing && this.judged;
      const score = silent ? Number(label === name) : scores[name] ?? 0;
      row.recent = Math.max(score, FADE * row.recent);
      row.item.style.setProperty("--score", score.toFixed(3));
      row.item.classList.toggle("best", name === label);
      row.value.textContent = silent ? (label === name ? t("bars.below") : "") : percent(score);
    }
  }
}
