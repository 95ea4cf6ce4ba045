// Teach: classes, the camera that records them, the wall of clips, training, and the new model live.

import { follow, send } from "./api.js";
import { endingOf, cameraAllowed } from "./camera.js";
import { ClassCard, className } from "./class_card.js";
import { colorOf, isQuiet, spoken } from "./colors.js";
import { button, complain, errorText, fileButton, h, patch, rich, show, t, takeDrops, toast, typing } from "./dom.js";
import { LiveView } from "./live.js";
import { QuietTime } from "./quiet.js";
import { Recorder } from "./recorder.js";
import { Training } from "./training.js";
import { chosenFiles, droppedFiles, listedRecordings, placed, Uploads } from "./uploads.js";

const SITTING = 30 * 60 * 1000; // ms without a recording, after which the next one is of another sitting

export class Teach {
  constructor(panel, page) {
    Object.assign(this, { panel, page, cards: new Map() });
    this.live = new LiveView({ heat: 0.65, box: true }, () => (panel.hidden ? this.live.close() : this.lookLive()));
    this.recorder = new Recorder(this.live, (label, file) =>
      this.uploads.add([{ file, name: t("record.file", { label, ending: endingOf(file) }), label,
        recording: this.recordingName() }]));
    this.quiet = new QuietTime(this.live, () => page.loadProject().catch(complain));
    this.training = new Training(page, (trained) => this.trainingChanged(trained));
    this.uploads = new Uploads(page);
    this.build();
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("keyup", (event) => { if (event.key === " ") this.recorder.release(); });
    addEventListener("blur", () => this.recorder.release()); // the key may be released elsewhere
  }

  build() {
    this.title = h("div.where");
    this.undo = button("undo", t("undo"), () => this.page.undo(), { iconOnly: true });
    this.classes = h("div.classes");
    this.empty = h("div.empty", {}, h("h2", {}, t("teach.empty")), h("p", {}, rich(t("teach.empty_remedy"))),
      this.drawnButton());
    this.trash = h("div.row.hint.trash");
    this.target = this.buildTarget();
    this.camera = h("section.card.camera", { "aria-label": t("teach.camera") }, this.live.stage, this.target);
    show(this.panel, h("div.teach", {},
      h("div.head", {}, h("div", {}, h("h1", {}, t("teach.title")), this.title),
        this.undo),
      h("div.left", {}, this.uploads.element, this.training.element, this.training.results, this.classes, this.empty,
        this.addForm(), this.trash), h("aside.right", {}, this.camera)));
    takeDrops(this.panel, (transfer) => this.drop(transfer, null));
    this.showCamera();
  }

  /** Below the camera: into which class it records, and what the newest model says. Built once: it may be held. */
  buildTarget() {
    this.hold = this.recorder.holdButton(() => this.chosen, t("record.hold"));
    this.into = h("select", { onchange: () => this.choose(this.into.value) });
    this.intoDot = h("span.dot");
    this.answer = h("div.live-answer");
    return h("div.target", {}, this.answer,
      h("div.row.spread", {}, h("label.field", {}, h("span", {}, t("teach.into")),
        h("span.into", {}, this.intoDot, this.into)), this.hold),
      h("p.hint", {}, t("record.how"), h("span.keyboard", {}, " ", t("record.key"))), this.quiet.element);
  }

  addForm() {
    const input = h("input", { type: "text", placeholder: t("teach.name"), "aria-label": t("teach.name"),
      id: "new-class", autocomplete: "off", "aria-describedby": "wrong-name", oninput: () => show(wrong) });
    const wrong = h("p.wrong", { id: "wrong-name", role: "alert" });
    const refused = (error) => (error.status ? show(wrong, rich(errorText(error))) : complain(error));
    const add = async (event) => {
      event.preventDefault();
      const name = className(input.value);
      if (name && await this.page.change("add_class", { name }, refused)) {
        input.value = "";
        this.choose(name);
      }
      input.focus();
    };
    this.who = h("input", { type: "text", maxlength: 80, autocomplete: "off", title: t("who.why"),
      placeholder: t("who.new"), "aria-label": t("who.new") });
    return h("form.row.add", { onsubmit: add }, input,
      button("plus", t("teach.add"), null, { kind: "primary", type: "submit" }),
      fileButton(t("teach.folder"), (folder) => this.addFiles(chosenFiles(folder), null), { webkitdirectory: true }),
      this.who, wrong);
  }

  /** A button that adds clips of drawn figures, for a first try without a camera. */
  drawnButton() {
    const draw = async (event) => {
      const { currentTarget: target } = event;
      target.disabled = true;
      this.page.go("teach");
      await send("POST", "api/project/drawn").then(({ job }) => follow(job, ({ text }) => show(this.title, text)))
        .catch(complain);
      await this.page.loadProject().catch(complain);
      target.disabled = false;
    };
    return button(null, t("teach.drawn"), draw);
  }

  /** How much is in the trash, and a button that empties it. */
  showTrash({ files: count, bytes, ...trash }) {
    const empty = () => confirm(t("trash.why", { count, ...trash })) && this.page.change("empty_trash", {});
    show(this.trash, count > 0 && [h("span", {}, t("trash.size", { count, size: Math.ceil(bytes / 1e5) / 10, ...trash })),
      h("button.link", { type: "button", onclick: empty }, t("trash.empty"))]);
  }

  /** Of which recording a new clip of the camera is: the person in it, or the sitting. */
  recordingName() {
    const now = new Date();
    if (now - (this.lastRecorded ?? 0) > SITTING) this.sitting = now.toISOString().slice(0, 16).replace("T", " ");
    this.lastRecorded = now;
    return this.who.value.trim() || t("record.sitting", { time: this.sitting });
  }

  enter() {
    this.live.say(this.live.stream ? null : this.cameraCover());
    this.update(this.page.project);
    this.page.loadProject().catch(complain);
  }

  leave() { this.recorder.stop(); this.quiet.stop(); this.live.close(); this.showCamera(); }

  cameraCover() {
    if (!cameraAllowed()) return h("div.waiting", {}, h("p", {}, t("camera.insecure")),
      h("p.hint", {}, t("camera.insecure_remedy")));
    return h("div.waiting", {}, button("camera", t("teach.open_camera"), () => this.live.open(), { kind: "primary" }),
      h("p.hint", {}, t("look.private")));
  }

  showCamera() {
    this.target.hidden = !this.live.stream;
    const { connection, answerCard, bars, speed } = this.live;
    this.answer.hidden = !connection;
    show(this.answer, connection ? [answerCard, bars.element, speed] : []);
    if (this.live.stream) this.choose(this.chosen); else this.live.say(this.cameraCover());
  }

  /** The open camera looks with the newest model; it rests without one, and while one is fitted. */
  lookLive() {
    const { state, project } = this.page;
    const newest = this.training.trained ?? project.model;
    const model = !this.training.fitting && state.models.find(({ id }) => id === newest);
    if (!model) this.live.rest();
    else if (this.live.stream && !(this.live.connection && this.live.model.id === model.id)) {
      this.live.look(model);
    }
    this.showCamera();
  }

  /** Shows the camera with the newest model. */
  async tryLive() {
    this.page.go("teach");
    if (await this.live.open()) this.camera.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  /** A new model is live at once where the camera is on; the camera is never turned on unasked. */
  trainingChanged(trained) {
    if (trained) {
      this.page.parts.look.chosen = this.training.trained;
      toast(t("train.done"));
    }
    this.lookLive();
  }

  choose(name) {
    const names = this.page.project.classes.map((each) => each.name);
    this.chosen = names.includes(name) ? name : names.find((each) => !isQuiet(each)) ?? names[0];
    for (const [each, card] of this.cards) card.element.classList.toggle("chosen", each === this.chosen);
    this.hold.disabled = this.into.disabled = !this.chosen;
    const key = JSON.stringify(names);
    if (this.offered !== key) { // else the list stays, as it may be open
      this.offered = key;
      const options = names.map((each) => h("option", { value: each }, spoken(each)));
      show(this.into, names.length ? options : h("option", { value: "" }, t("teach.name_first")));
    }
    this.into.value = this.chosen ?? "";
    this.intoDot.style.setProperty("--color", this.chosen ? colorOf(this.chosen) : "transparent");
  }

  key(event) {
    if (this.panel.hidden || event.key !== " " || typing(event) || !this.live.stream) return;
    event.preventDefault();
    if (!event.repeat) this.recorder.press(this.chosen);
  }

  async drop(transfer, label) { this.addFiles(await droppedFiles(transfer), label); }

  /** Adds files to a class, or, without one, each to that of its folder, whose files that are no videos are ignored. */
  async addFiles(all, label) {
    const { state: { endings, hidden }, project: { classes } } = this.page;
    const files = all.map(({ file, path }) => ({ file, path: path.normalize(), folders: path.split("/").slice(0, -1) }))
      .filter(({ path }) => !path.split("/").some((name) => name.startsWith(".") || hidden.includes(name.toLowerCase())));
    const isVideo = ({ name }) => endings.some((ending) => name.toLowerCase().endsWith(ending));
    const recordings = await listedRecordings(files).catch((error) => { complain(error); return {}; });
    const others = files.filter(({ file }) => file.name.toLowerCase() !== "recordings.csv");
    const [clips, ignored] = [true, false].map((wanted) =>
      others.filter(({ file, folders }) => (!folders.length || isVideo(file)) === wanted));
    const names = ignored.slice(0, 3).map(({ path }) => path).concat(ignored.length > 3 ? "…" : []).join(", ");
    if (ignored.length) toast(t("teach.ignored", { count: ignored.length, names }));
    const items = placed(clips, classes.map(({ name }) => name), label).filter((item) => item.label)
      .map((item) => ({ ...item, recording: recordings[item.path] ?? (item.recording || this.who.value.trim()) }));
    if (clips.length && !items.length) { toast(t("teach.loose"), { error: true }); return; }
    this.uploads.add(items);
  }

  update(project) {
    if (this.panel.hidden) return;
    const count = project.classes.reduce((sum, each) => sum + each.count, 0);
    show(this.title, h("span", {}, t("teach.where", { name: project.name, count })), h("code", {}, project.path));
    this.empty.hidden = project.classes.length > 0;
    this.undo.disabled = !project.undo;
    this.undo.title = this.undo.ariaLabel = project.undo ? `${t("undo")}: ${project.undo}` : t("undo");
    this.cards = new Map(project.classes.map(({ name }) => [name, this.cards.get(name) ?? new ClassCard(name, this)]));
    for (const each of project.classes) this.cards.get(each.name).set(each);
    patch(this.classes, [...this.cards.values()].map(({ element }) => element));
    this.showTrash(project.trash);
    this.quiet.update(project.quiet_seconds);
    this.training.update(project);
    this.choose(this.chosen);
  }
}
