// Look: a clip or the camera, and what a model sees in it.

import { follow, lookAt } from "./api.js";
import { cameraAllowed } from "./camera.js";
import { spoken } from "./colors.js";
import { announce, button, errorCard, fileButton, h, percent, show, t, takeDrops, toast, VIDEOS } from "./dom.js";
import { LiveView } from "./live.js";
import { ClipList } from "./look_list.js";
import { drawnControls } from "./overlay.js";
import { modelActions } from "./models.js";
import { LookResult } from "./result.js";

const drawn = { heat: 0.75, box: true };

export class Look {
  constructor(panel, page) {
    Object.assign(this, { panel, page, place: "" }); // `place`: what is shown, as in the address
    takeDrops(panel, ({ files }) => { 
      if (this.model || files.length === 1) this.lookAtAll([...files]); else toast(t("look.no_model_remedy"), { error: true });
    });
  }

  get state() { return this.page.state; }
  get model() { return this.state.models.find(({ id }) => id === this.chosen) ?? this.state.models[0]; }
  /** Shows what the address says: the answer of a job, which the server keeps, or the beginning. */
  enter() {
    const { place } = this.page;
    if (place === this.place && (this.run || this.result || this.live)) return;
    if (place === "list" && this.list) this.showList();
    else if (["", "list", "camera"].includes(place)) this.start();
    else this.reopen(place);
  }

  leave() { if (this.live) this.start(); this.result?.pause(); }

  move(place) {
    this.place = place;
    if (!this.panel.hidden) this.page.move(place);
  }

  /** The beginning: where clips come from. */
  start() {
    this.stop();
    this.move("");
    this.list?.close();
    this.list = null;
    const { models } = this.state;
    show(this.panel, h("div.welcome", {},
      h("div.intro", {}, h("h1", {}, t("look.title")), h("p.lead", {}, t("look.lead"))),
      this.dropZone(), models.length ? this.modelRow() : h("div.empty", {},
        h("h2", {}, t("look.no_model")), h("p", {}, t("look.no_model_remedy")),
        h("div.row", {}, button(null, t("look.go_teach"), () => this.page.go("teach"), { kind: "primary" }),
          !this.page.project.classes.length && this.page.parts?.teach.drawnButton()))));
  }

  dropZone() {
    const choose = fileButton(t("look.choose"), (input) => this.lookAtAll([...input.files]),
      { accept: VIDEOS, id: "clip-file", multiple: Boolean(this.model) }, { kind: "primary" });
    const film = this.model && cameraAllowed() && button("camera", t("look.camera"), () => this.openCamera());
    return h("div.drop", { "aria-label": t("look.drop") },
      h("p.drop-title", {}, t("look.drop")), h("p.hint", {}, t("look.private")), h("div.row", {}, choose, film));
  }

  modelSelect(onchange) {
    const choose = ({ target }) => { this.chosen = target.value; onchange(); };
    return h("label.field", {}, h("span", {}, t("look.model")),
      h("select", { "aria-label": t("look.model"), value: this.model.id, onchange: choose },
        this.state.models.map(({ id, name }) => h("option", { value: id }, name))));
  }

  modelRow() {
    const about = h("div.about");
    const fill = () => show(about,
      h("ul.chips", { "aria-label": t("look.classes") }, this.model.classes.map((name) => h("li", {}, spoken(name)))),
      this.model.expected && h("p.hint", {}, t("models.expected", this.model)),
      modelActions(this.model, this.page, () => { this.page.parts.teach.training.trained = null; this.start(); }));
    fill();
    return h("section.model", {}, this.modelSelect(fill), about);
  }

  /** One clip with all that is seen in it, or several as a list. */
  lookAtAll(files) {
    if (!files.length) return;
    this.start();
    if (files.length === 1) { this.lookAt(files[0]); return; }
    this.list = new ClipList(files, this);
    this.showList();
    this.list.begin();
  }

  showList() { this.stop(); this.move("list"); this.run = new AbortController(); show(this.panel, this.list.element); }

  /** Shows a clip from its upload to its answer. */
  lookAt(file) {
    this.again = () => this.lookAt(file);
    const { model, state: { limits } } = this;
    return this.work(file.name, (watch, signal) =>
      lookAt(file, model?.id ?? "", limits.bytes, watch, signal, (job) => this.move(job)));
  }

  /** Shows a clip whose job has begun before. */
  reopen(job) {
    this.again = null;
    this.place = job;
    return this.work("", (watch, signal) => follow(job, ({ text, progress }) => watch(text, progress), { signal }));
  }

  /** Shows the progress of a clip, and then its answer, which `work(watch, signal)` resolves to. */
  async work(name, work) {
    this.stop();
    this.name = name;
    const run = (this.run = new AbortController());
    const note = h("p", { role: "status" });
    const bar = h("progress", { max: 1, "aria-label": t("look.progress") });
    const watch = (text, progress) => {
      note.textContent = text;
      if (progress === null) bar.removeAttribute("value"); else bar.value = progress;
    };
    show(this.panel, h("div.working", {}, h("div.spinner"), name && h("h2", {}, name), note, bar,
      button("close", t("cancel"), () => this.start())));
    try {
      const result = await work(watch, run.signal);
      if (this.run !== run) return;
      this.run = null;
      if (result) this.present(result); else this.start();
    } catch (error) {
      if (this.run === run) this.fail(error);
    }
  }

  fail(error) {
    this.stop();
    if (error.code === "model_gone") this.page.loadState().catch(() => {});
    this.run = new AbortController(); // the message stays until one begins something else
    const actions = [button(null, t("look.other"), () => this.start(), { kind: "primary" })];
    if (this.list) actions.push(button(null, t("look.list_back"), () => this.showList()));
    if (this.again) actions.push(button(null, t("again"), this.again));
    show(this.panel, h("div.working", {}, this.name && h("h2", {}, this.name), errorCard(error, ...actions)));
  }

  present(result) {
    this.result = new LookResult(result, drawn, this);
    show(this.panel, this.result.element);
    this.result.begin();
    if (this.panel.hidden) this.result.pause();
    announce(t("look.says", { label: spoken(result.label), score: percent(result.score) }));
  }

  async openCamera() {
    this.stop();
    this.move("camera");
    const live = (this.live = new LiveView(drawn, () => live.look(this.model)));
    show(this.panel, h("div.result", {},
      h("div.watch", {}, live.stage, live.speed),
      h("aside.side", {}, live.answerCard, live.bars.element, drawnControls(drawn),
        this.modelSelect(() => live.look(this.model)),
        button("close", t("look.stop_camera"), () => this.start()))));
    await live.open();
    if (this.live !== live) live.close();
  }

  /** Ends what is shown, and what is on its way. */
  stop() {
    this.run?.abort();
    this.live?.close();
    this.result?.close();
    this.run = this.live = this.result = null;
  }
}
