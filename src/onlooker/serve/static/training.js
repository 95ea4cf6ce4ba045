// Training from the page: hints before it, progress while it runs, results after it.

import { cancel, follow, get, send } from "./api.js";
import { spoken } from "./colors.js";
import { button, complain, errorCard, h, icon, show, t, toast } from "./dom.js";
import { resultsView } from "./results.js";

const PACES = [1.7, 6.8]; // seconds per clip with lite0, on faster and slower machines, before the first training
const clipsOf = ({ classes }) => classes.reduce((sum, { count }) => sum + count, 0);

/** A time that is estimated, in words. */
function duration(value) {
  const time = Math.ceil(Math.max(10, value) / 5) * 5;
  return time < 90 ? t("seconds", { value: time }) : t("train.minutes", { count: Math.round(time / 60) });
}

export class Training {
  /** `page` of main.js; `changed(trained)` is called when `fitting` changes, with whether there is a new model. */
  constructor(page, changed) {
    Object.assign(this, { page, changed, fitting: false, trained: null }); // `trained`: id of the newest model
    this.hints = h("ul.hints", { "aria-label": t("train.hints") });
    this.action = h("div.train-action");
    this.results = h("section.card.results", { "aria-label": t("results.title") });
    this.element = h("section.card.train", { "aria-label": t("train.title") }, h("h2", {}, t("train.title")),
      this.hints, this.action);
  }

  update(project) {
    const hint = (...content) => h("li", {}, icon("warn"), h("span", {}, content));
    show(this.hints, project.hints.map((text) => hint(text)),
      project.perhaps_nothing.slice(0, 1).map((name) => hint(t("train.perhaps_nothing", { label: spoken(name) }), " ",
        h("button.link", { type: "button", onclick: () => this.makeNothing(name) }, t("train.make_nothing")))));
    if (project.training && !this.job) this.watch(project.training);
    if (!this.job) this.showButton(project);
    if (project.model !== this.loaded && !this.job) this.loadResults();
  }

  makeNothing(name) {
    this.page.changeAndTell(t("told.nothing", { name: spoken(name) }), "rename_class", { name, to: "nothing" });
  }

  /** The button before a training; it, or an error in its place, stays while nothing about it changes. */
  showButton(project) {
    const ready = project.classes.length > 1 && project.classes.every(({ count }) => count > 1);
    const state = `${Boolean(project.model)} ${ready} ${clipsOf(project)} ${project.pace}`;
    if (this.offered === state) return;
    this.offered = state;
    const times = (project.pace ? [project.pace] : PACES).map((pace) => duration(clipsOf(project) * pace));
    const about = t(project.pace ? "train.about" : "train.first", { time: times[0], most: times[1] });
    const start = button(null, t(project.model ? "train.again" : "train.start"), () => this.start(),
      { kind: "primary", disabled: !ready });
    show(this.action, start, h("p.hint", {}, ready ? about : t("train.need")));
  }

  async start() {
    if (this.starting || this.job) return;
    this.starting = true;
    try {
      this.watch((await send("POST", "api/project/train")).job);
    } catch (error) {
      complain(error);
      if (error.status === 409) this.page.loadProject().catch(complain);
    }
    this.starting = false;
  }

  async watch(job) {
    if (this.job) return;
    Object.assign(this, { job, offered: null, fitting: true });
    this.page.showTraining(true);
    this.changed(false);
    const note = h("p.note", { role: "status" }, t("job.running"));
    const bar = h("progress", { max: 1, "aria-label": t("train.progress") });
    show(this.action, h("div.progress", {}, note, bar,
      button("close", t("train.cancel"), function () { this.disabled = true; cancel(job).catch(complain); })));
    let failed = null;
    const result = await follow(job, ({ text, progress, result: reached }) => {
      note.textContent = text;
      if (progress !== null) bar.value = progress;
      if (reached?.model && this.fitting) this.fitted(reached.model); // it is used while its report is drawn
    }, { every: 500 }).catch((error) => { failed = error; });
    if (!result && !failed) toast(t("train.cancelled"));
    if (this.fitting) await this.fitted(result?.model);
    await this.page.loadState().catch(complain); // the model has a report now
    this.job = this.loaded = undefined;
    this.page.showTraining(false);
    await this.page.loadProject().catch(complain);
    if (failed && !this.job) show(this.action, errorCard(failed, button(null, t("again"), () => this.start(), { kind: "primary" })));
  }

  async fitted(model) {
    this.fitting = false;
    this.trained = model ?? this.trained;
    await this.page.loadState().catch(complain);
    await this.page.loadProject().catch(complain);
    this.changed(Boolean(model));
  }

  async loadResults() {
    this.loaded = this.page.project.model;
    const last = this.loaded
      && await get("api/project/results").catch((error) => error.status !== 404 && complain(error));
    show(this.results, last ? resultsView(last, this.page) : []);
  }
}
