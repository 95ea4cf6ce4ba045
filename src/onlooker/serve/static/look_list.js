// Several clips that were dropped at once: looked at one after the other, as a list of answers.

import { lookAt } from "./api.js";
import { severalEvents } from "./bars.js";
import { colorOf, spoken } from "./colors.js";
import { button, h, icon, percent, rich, sentence, show, sleep, t } from "./dom.js";

const KEPT = 25; // answers whose clips the server still has

export class ClipList {
  constructor(files, look) {
    Object.assign(this, { look, run: new AbortController() });
    this.rows = files.map((file) => ({ file, state: h("span.detail", {}, t("look.waiting")), item: h("li") }));
    this.rows.forEach((row) => this.draw(row));
    this.element = h("div.clip-list", {},
      h("div.title-row", {}, h("h1", {}, t("look.list", { count: files.length })),
        h("div.row", {}, button("download", t("save.list"), () => this.save()), this.taking("vtt"), this.taking("mp4"),
          button("upload", t("look.other"), () => look.start()))),
      h("p.hint", {}, t("look.list_lead")), h("ol", {}, this.rows.map((row) => row.item)));
  }

  draw(row) {
    const { file: { name }, result, error } = row;
    show(row.item, h(error ? "button.clip-row.error" : "button.clip-row",
      { type: "button", disabled: !result && !error, onclick: () => this.open(row) },
      result && h("span.dot", { "--color": colorOf(!severalEvents(result) && result.label) }), error && icon("warn"),
      h("span.clip-name", { title: name }, name), row.state,
      error?.remedy && h("span.remedy", {}, rich(sentence(error.remedy)))));
  }

  open(row) {
    const old = !this.rows.filter((each) => each.result).slice(-KEPT).includes(row);
    this.look.again = () => this.look.lookAt(row.file);
    if (row.error || old) { this.look.again(); return; }
    this.look.stop();
    this.look.move(row.job);
    this.look.present(row.result);
  }

  /** Looks at the clips, until the list is closed. */
  async begin() {
    const { signal } = this.run;
    for (const row of this.rows) {
      try {
        const watch = (text) => { row.state.textContent = text; };
        const { model, state: { limits } } = this.look;
        row.result = await lookAt(row.file, model.id, limits.bytes, watch, signal, (job) => { row.job = job; });
        if (signal.aborted || !row.result) return;
        row.state.textContent = severalEvents(row.result) ?? `${spoken(row.result.label)} · ${percent(row.result.score)}`;
      } catch (error) {
        if (signal.aborted) return;
        row.error = error;
        row.state.textContent = sentence(error.found ?? error.message);
      }
      this.draw(row);
    }
  }

  /** Saves the answers so far as CSV. */
  save() {
    const cell = (value) => `"${String(value).replace(/^[=+@-]/, "'$&").replaceAll('"', '""')}"`;
    const times = ({ label, start, end }) => `${label} ${start.toFixed(2)} to ${end.toFixed(2)}`;
    const answers = this.rows.map((row) => row.result).filter(Boolean).map((of) => [of.name,
      ...(severalEvents(of) ? ["", ""] : [of.label, of.score.toFixed(4)]), of.segments.map(times).join("; ")]);
    const rows = [["clip", "label", "score", "events"], ...answers];
    const text = rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
    h("a", { href: `data:text/csv,${encodeURIComponent(text)}`, download: "answers.csv" }).click();
  }

  /** A button that saves what the server still has of the answers, as `kind`. */
  taking(kind) {
    const what = t(`save.${kind}`);
    const name = this.rows.length > KEPT ? t("save.last", { what, count: KEPT }) : what;
    return button("download", name, async () => {
      for (const { result: { id } } of this.rows.filter(({ result }) => result).slice(-KEPT)) {
        h("a", { href: `media/${id}/as/${kind}`, download: "" }).click();
        await sleep(500); // browsers refuse many at once
      }
    });
  }

  close() { this.run.abort(); }
}
