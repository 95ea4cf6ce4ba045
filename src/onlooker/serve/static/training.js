// Training from the page: hints before it, progress and time left while it runs, results after it.

import { cancel, follow, get, post } from "./api.js";
import { button, complain, errorCard, h, icon, seconds, sentence, show, t, toast } from "./dom.js";
import { chart, resultsView } from "./results.js";

const FEWEST = 2; // classes

export class Training {
  /** `page` of main.js; `finished(results)` is called when a training ends. */
  constructor(page, finished) {
    Object.assign(this, { page, finished });
    this.hints = h("ul.hints", { "aria-label": t("train.hints") });
    this.action = h("div.train-action");
    this.results = h("section.card.results", { "aria-label": t("results.title") });
    this.element = h("section.card.train", { "aria-label": t("train.title") }, h("h2", {}, t("train.title")),
      this.hints, this.action);
  }

  update(project) {
    show(this.hints, project.hints.map((hint) => h("li", {}, icon("warn"), h("span", {}, hint.text))));
    if (project.training && !this.job) this.watch(project.training.job);
    if (!this.job) this.showButton(project);
    if (project.model !== this.loaded) { this.loaded = project.model; this.loadResults(); }
  }

  /** The button before a training; it, or an error in its place, stays while nothing about it changes. */
  showButton(project) {
    const ready = project.classes.filter(({ clips }) => clips.length).length >= FEWEST;
    const state = `${Boolean(project.model)} ${ready}`;
    if (this.offered === state) return;
    this.offered = state;
    this.button = button(null, t(project.model ? "train.again" : "train.start"), () => this.start(),
      { kind: "primary", disabled: !ready });
    show(this.action, this.button, h("p.hint", {}, t(ready ? "train.about" : "train.need")));
  }

  async start() {
    if (this.starting || this.job) return;
    this.starting = true;
    if (this.button) this.button.disabled = true;
    try {
      this.watch((await post(`/api/project/train?version=${this.page.project.version}`)).job);
    } catch (error) {
      complain(error);
      if (error.status === 409) await this.page.loadProject().catch(complain);
    } finally {
      this.starting = false;
      this.offered = null; // the button is made again
      if (!this.job) this.showButton(this.page.project);
    }
  }

  async watch(job) {
    if (this.job) return;
    this.job = job;
    this.offered = null;
    this.page.trainingChanged(true);
    const note = h("p.note", { role: "status" }, t("job.running"));
    const left = h("p.hint");
    const bar = h("progress", { max: 1, "aria-label": t("train.progress") });
    const curve = h("div.curve-slot");
    show(this.action, h("div.progress", {}, note, bar, left, curve,
      button("close", t("train.cancel"), () => cancel(job).catch(complain))));
    try {
      const result = await follow(job, (state) => progress(state, { note, left, bar, curve }), { every: 500 });
      if (!result) toast(t("train.cancelled"));
      await this.end(Boolean(result));
    } catch (error) {
      await this.end(false);
      show(this.action, errorCard(error, button(null, t("again"), () => this.start(), { kind: "primary" })));
    }
  }

  async end(trained) {
    this.job = null;
    await this.page.loadState().catch(complain);
    await this.page.loadProject().catch(complain);
    this.page.trainingChanged(Boolean(this.job));
    if (trained) this.finished();
  }

  async loadResults() {
    try {
      this.last = this.loaded ? await get("/api/project/results") : null;
    } catch (error) {
      this.last = null;
      if (error.status !== 404) complain(error);
    }
    show(this.results, this.last ? resultsView(this.last, this.page) : []);
  }
}

function progress(job, { note, left, bar, curve }) {
  note.textContent = job.note ? sentence(`${job.note} …`) : t("job.running");
  if (job.progress === null || job.progress === undefined) bar.removeAttribute("value");
  else bar.value = job.progress;
  const remaining = job.result?.seconds_left;
  left.textContent = remaining === null || remaining === undefined ? ""
    : t("train.left", { time: seconds(Math.max(0, remaining)) });
  const points = (job.result?.curve ?? []).filter((point) => point.accuracy !== null && point.accuracy !== undefined);
  if (points.length > 1) show(curve, chart(points.map((point) => [point.epoch, point.accuracy]), t("train.curve")));
}
