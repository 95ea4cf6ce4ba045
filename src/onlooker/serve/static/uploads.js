// Clips from files and folders into classes, one after the other, with what went wrong.

import { tooLarge, upload } from "./api.js";
import { button, complain, errorText, h, show, t, toast } from "./dom.js";

const REFRESH = 20; // clips after which the page shows those that were added

/** The files of a drop as `[{file, folder}]`; `folder` is the name of the folder that contains the file, or null. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, folder: null }));
  return (await Promise.all(entries.map((entry) => walk(entry, null)))).flat();
}

async function walk(entry, folder) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder }];
  const reader = entry.createReader();
  const inside = [];
  const read = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  for (let part = await read(); part.length; part = await read()) inside.push(...part);
  return (await Promise.all(inside.map((each) => walk(each, entry.name)))).flat();
}

/** The same for an input that chooses a folder. */
export const chosenFiles = (input) =>
  [...input.files].map((file) => ({ file, folder: file.webkitRelativePath?.split("/").at(-2) ?? null }));

/** A queue of uploads; `refresh()` shows the project with the new clips; `limit()`: bytes of a clip. */
export class Uploads {
  constructor(refresh, limit) {
    Object.assign(this, { refresh, limit, queue: [], finished: 0, failures: [] });
    this.note = h("p");
    this.bar = h("progress", { "aria-label": t("uploads.progress") });
    this.progress = h("div.uploads-part", { hidden: true }, this.note, this.bar,
      button("close", t("uploads.stop"), () => { this.queue = []; }));
    this.outcome = h("div.uploads-part", { role: "status" });
    this.element = h("div.uploads", { hidden: true }, this.progress, this.outcome);
  }

  /** Adds files as `[{file, name, label}]`. */
  add(items) {
    this.queue.push(...items);
    if (!this.running) this.run();
  }

  async run() {
    this.running = true;
    show(this.outcome);
    while (this.queue.length) {
      const item = this.queue.shift();
      this.report(item.name);
      try {
        await this.send(item);
      } catch (error) {
        this.failures.push({ item, error });
        if (error.status === 0 || error.status === 507) this.failRest(error);
        continue;
      }
      this.finished += 1;
      if (this.finished % REFRESH === 0) await this.refresh().catch(() => {}); // the next one, or the end, shows them
    }
    await this.refresh().catch((error) => error.status !== 0 && complain(error));
    this.running = false;
    if (this.queue.length) this.run();
    else this.summary();
  }

  async send({ file, name, label }) {
    const error = tooLarge({ name, size: file.size }, this.limit());
    if (error) throw error;
    const query = new URLSearchParams({ class: label, ...(this.queue.length && { brief: 1 }) });
    await upload(`/api/project/clips?${query}`, file, name);
  }

  /** Without a server, or without room on its disk, the files that wait would fail in the same way. */
  failRest(error) {
    this.failures.push(...this.queue.map((item) => ({ item, error })));
    this.queue = [];
  }

  report(name) {
    const total = this.finished + this.failures.length + this.queue.length + 1;
    this.element.hidden = total === 1;
    this.progress.hidden = false;
    this.note.textContent = t("uploads.running", { at: total - this.queue.length, total, name });
    Object.assign(this.bar, { max: total, value: total - this.queue.length - 1 });
  }

  summary() {
    const { failures, finished } = this;
    Object.assign(this, { failures: [], finished: 0 });
    this.progress.hidden = true;
    this.element.hidden = !failures.length;
    if (!failures.length) {
      if (finished > 1) toast(t("uploads.done", { count: finished }));
      return;
    }
    const items = failures.map(({ item }) => item);
    show(this.outcome, h("p.found", {}, t("uploads.failed", { count: failures.length })),
      h("ul.failures", { tabindex: 0 },
        failures.map(({ item, error }) => h("li", {}, h("b", {}, item.name), ": ", errorText(error)))),
      h("div.row", {}, button("upload", t("again"), () => this.add(items)),
        button("close", t("close"), () => { this.element.hidden = true; })));
  }
}
