// What one or two models see in a clip: player, timeline, bars, events, files to take away.

import { ApiError, megabytes, post } from "./api.js";
import { Bars, sureness } from "./bars.js";
import { colorOf, isQuiet, rememberClasses, spoken } from "./colors.js";
import { button, complain, h, icon, seconds, show, t, toast } from "./dom.js";
import { drawMoment, momentOf } from "./overlay.js";
import { Player } from "./player.js";
import { drawnControls } from "./settings.js";
import { Timeline } from "./timeline.js";

/** The last frame that a model has seen at `time` (seconds). */
function frameAt(times, time) {
  let low = 0;
  for (let high = times.length; high - low > 1;) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + 1e-6) low = middle; else high = middle;
  }
  return low;
}

export class LookResult {
  constructor(result, drawn, look) {
    Object.assign(this, { result, drawn, look, shown: 0 });
    this.answers = result.answers;
    this.answers.forEach((answer) => rememberClasses(answer.classes));
    this.player = new Player((time) => this.frame(time));
    this.timeline = new Timeline(this.player, (selection) => this.selected(selection));
    this.selection = h("div.selection", { role: "group", "aria-label": t("part.label") });
    this.bars = this.answers.map(() => new Bars());
    this.nows = this.answers.map(() => h("p.now"));
    this.element = h("div.result", {}, this.watch(), this.side());
    this.keys = (event) => this.key(event);
  }

  pathOf(id) { return this.look.state.models.find((model) => model.id === id)?.path ?? id; }

  nameOf(id) { return this.look.state.models.find((model) => model.id === id)?.name ?? id; }

  watch() {
    return h("div.watch", {}, h("div.title-row", {}, h("h1.clip-name", { title: this.result.name }, this.result.name),
      button("upload", t("look.other"), () => this.look.start())),
    this.player.stage, this.player.controls, this.timeline.element, this.selection);
  }

  side() {
    return h("aside.side", {}, this.answers.map((answer, i) => this.answerCard(answer, i)),
      drawnControls(this.drawn, () => this.frame(this.player.time)), this.models(), this.takeAway());
  }

  answerCard(answer, i) {
    const several = this.answers.length > 1;
    const quiet = isQuiet(answer.label) ? ".silent" : "";
    return h(`div.answer${quiet}`, { "--color": colorOf(answer.label), "data-model": answer.model },
      h("button.which", { type: "button", hidden: !several, "aria-pressed": String(i === this.shown),
        onclick: () => this.choose(i) }, this.nameOf(answer.model)),
      h("p.label", {}, spoken(answer.label)),
      h("p.detail", {}, sureness(answer.label, answer.score, answer.ranking.map(([, score]) => score)),
        answer.segments.length > 0 && ` · ${t("result.count", { count: answer.segments.length })}`),
      this.events(answer), answer.unsure && h("p.hint", {}, t("result.unsure"), " ",
        h("button.link", { type: "button", onclick: () => this.look.page.go("correct") }, t("result.correct"))),
      this.nows[i], this.bars[i].element);
  }

  events(answer) {
    if (!answer.segments.length) return null;
    return h("ul.events", { "aria-label": t("result.events") }, answer.segments.slice(0, 6).map((part) => h("li", {},
      h("button.event", { type: "button", "--color": colorOf(part.label),
        onclick: () => this.timeline.select({ start: part.start, end: Math.max(part.end, part.start + 0.05) }) },
        h("span.dot"), h("span", {}, spoken(part.label)),
          h("span.when", {}, t("part.range", { start: part.start.toFixed(1), end: part.end.toFixed(1) }))))));
  }

  models() {
    const { look } = this;
    if (look.state.models.length < 2) return null;
    return h("div.models", {},
      h("label.field", {}, h("span", {}, t("look.model")),
        look.modelSelect(look.model.id, (model) => look.change({ model }))),
      h("label.field", {}, h("span", {}, t("look.second")),
        look.modelSelect(look.second, (second) => look.change({ second }), { none: true, label: t("look.second") })));
  }

  takeAway() {
    const [{ model }] = this.answers;
    const link = (path, text) => h("a.quiet", { href: path, download: true }, icon("download"), h("span", {}, text));
    const facts = h("dl.facts", {});
    const clip = this.result.name.includes(".") ? this.result.name : "clip.mp4"; // an example has no file name
    const code = t("save.code", { run: JSON.stringify(this.pathOf(model)), clip: JSON.stringify(clip) });
    const box = h("details.save", { ontoggle: () => box.open && this.loadFacts(model, facts) },
      h("summary", {}, t("save.title")),
      h("div.row", {}, link(`/api/look/${this.result.id}/overlay.mp4?model=${model}`, t("save.overlay")),
        link(`/api/look/${this.result.id}/result.json`, t("save.json")),
        button("download", t("save.onnx"), () => this.saveModel(model))),
      facts, h("pre.code", { tabindex: 0, "aria-label": t("save.code_label") }, code),
      navigator.clipboard && button(null, t("save.copy"),
        () => navigator.clipboard.writeText(code).then(() => toast(t("save.copied")), complain)));
    return box;
  }

  async loadFacts(model, list) {
    if (list.children.length) return;
    const item = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
    show(list, item(t("facts.size"), "…"));
    try {
      const facts = await this.look.facts(model);
      show(list, item(t("facts.size"), megabytes(facts.bytes)),
        item(t("facts.parameters"), facts.parameters.toLocaleString("en")),
        item(t("facts.step"), t("facts.milliseconds", { value: facts.milliseconds.toFixed(1) })),
        item(t("facts.memory"), t("facts.memory_of",
          { memory: megabytes(facts.memory), libraries: megabytes(facts.libraries) })),
        item(t("facts.machine"), facts.machine));
    } catch (error) {
      show(list, item(t("facts.size"), "–"));
      complain(error);
    }
  }

  async saveModel(model) {
    toast(t("save.exporting"));
    const response = await fetch(`/api/models/${model}/step.onnx`).catch(() => null);
    if (!response?.ok) {
      const value = await response?.json().catch(() => null);
      complain(new ApiError(response?.status ?? 0,
        value?.error ?? { found: t("error.lost"), remedy: t("error.lost_remedy") }));
      return;
    }
    const address = URL.createObjectURL(await response.blob());
    h("a", { href: address, download: "step.onnx" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  /** Starts to play; the element must be in the page. */
  begin() {
    this.timeline.set(this.answers, this.result.seconds, this.answers.map((answer) => this.nameOf(answer.model)));
    this.answers.forEach(({ ranking, threshold, nothing }, i) =>
      this.bars[i].set(ranking.map(([name]) => name), threshold, nothing));
    this.player.open(this.result.video, this.result);
    this.player.play();
    addEventListener("keydown", this.keys);
  }

  frame(time) {
    if (!this.timeline.answers) return;
    this.answers.forEach((answer, i) => {
      const index = frameAt(answer.times, time);
      const scores = Object.fromEntries(answer.classes.map((name, k) => [name, answer.scores[index][k]]));
      this.bars[i].update(scores, answer.labels[index]);
      this.nows[i].textContent = t("result.now", { time: seconds(time), label: spoken(answer.labels[index]) });
      if (i === this.shown) {
        drawMoment(this.player.canvas, momentOf(answer, index), this.drawn);
        this.timeline.at(time, answer.labels[index]);
      }
    });
  }

  /** Draws the attention of another model. */
  choose(i) {
    this.shown = i;
    this.element.querySelectorAll(".which").forEach((which, k) => which.setAttribute("aria-pressed", String(k === i)));
    this.frame(this.player.time);
  }

  selected(part) {
    if (!part) {
      show(this.selection, h("p.hint", {}, t("part.hint")));
      return;
    }
    const project = this.look.page.project;
    const names = project?.classes.map(({ name }) => name) ?? [];
    const select = h("select", { "aria-label": t("part.class") },
      names.map((name) => h("option", { value: name }, spoken(name))));
    if (names.includes(this.answers[this.shown].label)) select.value = this.answers[this.shown].label;
    const teach = names.length
      ? [select, button("plus", t("part.teach"), () => this.teach(select.value, part, project.version), { kind: "primary" })] : [];
    show(this.selection,
      h("span.range", {}, icon("loop"), t("part.range", { start: part.start.toFixed(2), end: part.end.toFixed(2) })),
      teach, button("close", t("part.clear"), () => this.timeline.select(null), { iconOnly: true }));
  }

  async teach(name, { start, end }, version) {
    try {
      const query = new URLSearchParams({ class: name, look: this.result.id, version });
      await post(`/api/project/segment?${query}`, { start, end });
      toast(t("part.taught", { label: spoken(name) }),
        { action: { label: t("look.go_teach"), run: () => this.look.page.go("teach") } });
      await this.look.page.loadProject();
    } catch (error) {
      complain(error);
    }
  }

  key(event) {
    if (!this.element.offsetParent || event.target.closest?.("input, select, dialog, [role=tab]") || event.ctrlKey
      || event.metaKey) return;
    const actions = { "[": () => this.timeline.mark("start"), "]": () => this.timeline.mark("end"),
      l: () => this.timeline.selectHere(), Escape: () => this.timeline.select(null) };
    actions[event.key]?.();
  }

  pause() { this.player.video.pause(); }

  close() {
    removeEventListener("keydown", this.keys);
    this.player.close();
  }
}
