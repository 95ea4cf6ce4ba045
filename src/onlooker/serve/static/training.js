// Training from the page: hints before it, progress and time left while it runs, results after it.

import { cancel, follow, get, post } from "./api.js";
import { button, complain, errorCard, h, icon, seconds, show, t, toast } from "./dom.js";
import { resultsView } from "./results.js";

const FEWEST = 2; // classes

export class Training {
  /** `page` of main.js; `changed(trained)` is called when `fitting` changes, with whether there is a new model. */
  constructor(page, changed) {
    Object.assign(this, { page, changed, fitting: false });
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
    if (project.model !== this.loaded && (this.fitting || !this.job)) this.loadResults();
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
    this.fitting = true;
    this.page.showTraining(true);
    this.changed(false);
    const note = h("p.note", { role: "status" }, t("job.running"));
    const left = h("p.hint");
    const bar = h("progress", { max: 1, "aria-label": t("train.progress") });
    show(this.action, h("div.progress", {}, note, bar, left,
      button("close", t("train.cancel"), () => cancel(job).catch(complain))));
    try {
      const result = await follow(job, (state) => {
        progress(state, { note, left, bar });
        this.reached(state.result ?? {}).catch(complain);
      }, { every: 500 });
      if (!result) toast(t("train.cancelled"));
      await this.end(Boolean(result));
    } catch (error) {
      await this.end(false);
      show(this.action, errorCard(error, button(null, t("again"), () => this.start(), { kind: "primary" })));
    }
  }

  /** What a running training has reached: the model is used while its report is drawn. */
  async reached({ results, model }) {
    if (model && this.fitting) await this.fitted(true);
    const shown = JSON.stringify([results, this.fitting]);
    if (!results || !this.job || this.shown === shown) return;
    this.shown = shown;
    show(this.results, resultsView(results, this.page, !this.fitting));
  }

  async fitted(trained) {
    this.fitting = false;
    await this.page.loadState().catch(complain);
    await this.page.loadProject().catch(complain);
    this.changed(trained);
  }

  async end(trained) {
    this.job = this.shown = this.loaded = undefined;
    await this.fitted(trained && this.fitting);
    this.page.showTraining(Boolean(this.job));
  }

  async loadResults() {
    this.loaded = this.page.project.model;
    const last = this.loaded && await get("/api/project/results").catch((error) => {
      if (error.status !== 404) complain(error);
    });
    if (this.job && (this.shown || !last)) return; // those so far stay
    show(this.results, last ? resultsView(last, this.page) : []);
  }
}

function progress(job, { note, left, bar }) {
  note.textContent = job.text;
  if (job.progress === null || job.progress === undefined) bar.removeAttribute("value");
  else bar.value = job.progress;
  const remaining = job.result?.seconds_left;
  left.textContent = remaining === null || remaining === undefined ? ""
    : t("train.left", { time: seconds(Math.max(0, remaining)) });
}
