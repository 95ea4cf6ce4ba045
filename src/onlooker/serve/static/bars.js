// The classes of a model as bars that follow the moment.

import { colorOf, isQuiet, spoken } from "./colors.js";
import { h, percent, show, t } from "./dom.js";

const TOP = 8;

/** How sure a model is of an answer; where the best event does not reach the threshold, it is nothing. */
export const sureness = ({ label, score, best, threshold }) => (isQuiet(label) && score < best.score
  ? t("bars.unreached", { label: spoken(best.label), score: percent(best.score), needed: percent(threshold) })
  : t("bars.sure", { score: percent(score) }));

/** How many events, or bouts of states, an answer has, in words. */
export const countText = ({ segments, budget }) => t(budget ? "result.bouts" : "result.count", { count: segments.length });

/** The same if they are of several classes: a recording has no label. */
export const severalEvents = (result) =>
  (new Set(result.segments.map(({ label }) => label)).size > 1 ? countText(result) : null);

/** Bars of the first classes, in a fixed order. */
export class Bars {
  constructor() {
    this.element = h("ul.bars", { "aria-label": t("bars.label") });
  }

  /** `names`, best first; `threshold`: the score below which the answer is `nothing`, or null. */
  set(names, threshold, nothing) {
    Object.assign(this, { threshold, nothing });
    this.judged = threshold !== null && !names.includes(nothing); // `nothing` has no score
    const shown = names.filter((name) => name !== nothing).slice(0, TOP);
    const silent = threshold !== null || names.includes(nothing) ? [nothing] : [];
    this.rows = new Map([...shown, ...silent].map((name) => [name, this.row(name)]));
    show(this.element, [...this.rows.values()]);
  }

  row(name) {
    const marked = this.threshold !== null && name !== this.nothing;
    const mark = marked && h("span.mark",
      { "--at": `${100 * this.threshold}%`, title: t("bars.threshold", { label: spoken(this.nothing) }) });
    return h("li", { "--color": colorOf(name) }, h("span.name", { title: spoken(name) }, spoken(name)),
      h("span.track", {}, h("span.fill"), mark), h("span.value"));
  }

  /** Shows scores, a mapping from names, and the label of the moment. */
  update(scores, label) {
    for (const [name, item] of this.rows) {
      const silent = name === this.nothing && this.judged;
      const score = silent ? Number(label === name) : scores[name] ?? 0;
      item.style.setProperty("--score", score.toFixed(3));
      item.classList.toggle("best", name === label);
      item.lastChild.textContent = silent ? (label === name ? t("bars.below") : "") : percent(score);
    }
  }
}
