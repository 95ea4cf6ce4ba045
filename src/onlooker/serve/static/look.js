// Look: a clip or the camera, and what a model sees in it.

import { cancel, follow, tooLarge, upload } from "./api.js";
import { cameraAllowed } from "./camera.js";
import { rememberClasses, spoken } from "./colors.js";
import { announce, button, errorCard, h, icon, percent, show, t } from "./dom.js";
import { LiveView } from "./live.js";
import { ClipList } from "./look_list.js";
import { LookResult } from "./result.js";
import { drawnControls } from "./settings.js";

const drawn = { heat: 0.75, box: true, point: true };

export class Look {
  constructor(panel, page) {
    Object.assign(this, { panel, page });
    panel.addEventListener("dragover", (event) => { event.preventDefault(); panel.classList.add("dropping"); });
    panel.addEventListener("dragleave", (event) => {
      if (!panel.contains(event.relatedTarget)) panel.classList.remove("dropping");
    });
    panel.addEventListener("drop", (event) => this.drop(event));
  }

  get state() { return this.page.state; }
  get model() {
    return this.state.models.find((model) => model.id === this.chosen)
      ?? this.state.models[0];
  }

  enter() { if (!this.run && !this.result && !this.live) this.start(); }

  leave() { if (this.live) this.start(); this.result?.pause(); }

  /** The beginning: where clips come from. */
  start() {
    this.stop();
    this.list?.close();
    this.list = null;
    if (!this.state.models.length) { this.noModel(); return; }
    this.state.models.forEach((model) => rememberClasses(model.classes));
    show(this.panel, h("div.welcome", {},
      h("div.intro", {}, h("h1", {}, t("look.title")), h("p.lead", {}, t("look.lead"))),
      this.dropZone(), this.modelRow()));
  }

  noModel() {
    show(this.panel, h("div.welcome", {},
      h("div.intro", {}, h("h1", {}, t("look.title")), h("p.lead", {}, t("look.lead"))),
      h("div.empty", {}, h("h2", {}, t("look.no_model")), h("p", {}, t("look.no_model_remedy")),
        h("div.row", {}, button(null, t("look.go_teach"), () => this.page.go("teach"), { kind: "primary" })))));
  }

  dropZone() {
    const input = h("input.unseen",
      { type: "file", accept: "video/*,.mkv,.avi,.gif", multiple: true, id: "clip-file", tabindex: -1, "aria-label": t("look.choose"),
      onchange: () => this.lookAtAll([...input.files]) });
    const buttons = [button("upload", t("look.choose"), () => input.click(), { kind: "primary" })];
    if (cameraAllowed()) buttons.push(button("camera", t("look.camera"), () => this.openCamera()));
    return h("div.drop", { "aria-label": t("look.drop") },
      h("div.drop-picture", { "aria-hidden": "true" }, icon("upload")),
      h("p.drop-title", {}, t("look.drop")), h("p.hint", {}, t("look.private")), h("div.row", {}, buttons), input);
  }

  modelSelect(onchange) {
    const select = h("select", { "aria-label": t("look.model"), onchange: () => { this.chosen = select.value; onchange(); } },
      this.state.models.map((model) => h("option", { value: model.id }, model.name)));
    select.value = this.model.id;
    return h("label.field", {}, h("span", {}, t("look.model")), select);
  }

  modelRow() {
    const classes = h("ul.chips", { "aria-label": t("look.classes") });
    const fill = () => show(classes, this.model.classes.map((name) => h("li", {}, spoken(name))));
    fill();
    return h("section.model", {}, this.modelSelect(fill), classes);
  }

  drop(event) {
    event.preventDefault();
    this.panel.classList.remove("dropping");
    if (this.state.models.length) this.lookAtAll([...event.dataTransfer.files]);
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

  showList() { this.stop(); this.run = new AbortController(); show(this.panel, this.list.element); }

  lookAt(file) {
    this.again = () => this.lookAt(file);
    this.name = file.name;
    const error = tooLarge(file, this.state.limits?.bytes);
    if (error) { this.fail(error); return; }
    this.wait(file.name, (progress, signal) =>
      upload(`/api/look?model=${this.model.id}`, file, file.name, progress, signal));
  }

  /** Shows a job from its upload to its answer. */
  async wait(name, begin) {
    this.stop();
    this.name = name;
    const run = (this.run = new AbortController());
    const note = h("p", { role: "status" }, t("look.sending"));
    const bar = h("progress", { max: 1, "aria-label": t("look.progress") });
    show(this.panel, h("div.working", {}, h("div.spinner"), h("h2", {}, name), note, bar,
      button("close", t("cancel"), () => this.start())));
    try {
      const { job } = await begin((share) => { bar.value = share; }, run.signal);
      if (run.signal.aborted) { cancel(job).catch(() => {}); return; }
      run.job = job;
      bar.removeAttribute("value");
      const result = await follow(job, (now) => {
        note.textContent = now.text;
        if (now.progress !== null) bar.value = now.progress;
      }, { stopped: () => run.signal.aborted });
      if (this.run !== run) return;
      this.run = null;
      if (result) this.present(result); else this.start();
    } catch (error) {
      if (this.run !== run) return;
      this.run = null;
      this.fail(error);
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
    const live = new LiveView(drawn, () => live.look(this.model));
    this.live = live;
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
    if (this.run?.job) cancel(this.run.job).catch(() => {});
    this.run = null;
    this.live?.close();
    this.result?.close();
    this.live = this.result = null;
  }
}
