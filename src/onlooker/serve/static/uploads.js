// Clips from files and folders into classes, a few at a time, with what went wrong.

import { checkSize, upload } from "./api.js";
import { button, complain, errorText, h, rich, show, t, toast } from "./dom.js";

const AT_ONCE = 3; // uploads: the next clips are sent while the server checks the first
const SPLIT = /^(train|val|test)/i; // names of folders that hold class folders
const REFRESH = 20; // clips after which the page shows those that were added

/** The files of a drop as `[{file, path}]`; `path` is that of the file, from what was dropped on. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  return (await Promise.all(entries.map((entry) => walk(entry, "")))).flat();
}

async function walk(entry, folder) {
  const path = folder + entry.name;
  if (entry.isFile) return [{ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path }];
  const reader = entry.createReader();
  const inside = [];
  const read = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  for (let part = await read(); part.length; part = await read()) inside.push(...part);
  return (await Promise.all(inside.map((each) => walk(each, `${path}/`)))).flat();
}

/** The same for an input that chooses a folder. */
export const chosenFiles = (input) =>
  [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

/** The recordings that files named recordings.csv give to clips, by the path of the clip. */
export async function listedRecordings(files) {
  const recordings = {};
  for (const { file, path } of files) {
    if (file.name.toLowerCase() !== "recordings.csv") continue;
    const listed = Object.entries(await upload("api/project/recordings", file, file.name));
    for (const [clip, name] of listed) recordings[(path.slice(0, -file.name.length) + clip).normalize()] = name;
  }
  return recordings;
}

/** Class and recording of each file of dropped folders; folders within that of a class are recordings, as of people. */
export function placed(clips, known, label) {
  const tops = [...new Set(clips.map(({ folders }) => folders[0]))];
  const seconds = (wanted) => clips.filter(({ folders }) => wanted(folders[0])).map(({ folders }) => folders[1]);
  const classAt = (top) => {
    if (label) return tops.length > 1 ? -1 : 0;
    if (known.includes(top)) return 0;
    const others = seconds((other) => other !== top); // the same person may be in two classes
    return seconds((own) => own === top).some((name) => name && others.includes(name)) && !SPLIT.test(top) ? 0 : 1;
  };
  const at = new Map(tops.map((top) => [top, classAt(top)]));
  return clips.map(({ file, path, folders }) => {
    const k = Math.min(at.get(folders[0]), folders.length - 1);
    return { file, name: file.name, path, label: label ?? folders[k], recording: folders.slice(k + 1).join("/") };
  });
}

/** A queue of uploads into the project of the page. */
export class Uploads {
  constructor(page) {
    Object.assign(this, { page, queue: [], sending: new Set(), finished: 0, failures: [], same: [] });
    this.listed = []; // failures of earlier uploads: a recording that was not added exists only here
    this.note = h("p");
    this.bar = h("progress", { "aria-label": t("uploads.progress") });
    this.progress = h("div.uploads-part", { hidden: true }, this.note, this.bar,
      button("close", t("uploads.stop"), () => { this.queue = []; }));
    this.outcome = h("div.uploads-part", { role: "status" });
    this.element = h("div.uploads", {}, this.progress, this.outcome);
  }

  /** Adds files as `[{file, name, label}]`, together one step of undo. */
  add(items) {
    const batch = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    this.queue.push(...items.map((item) => ({ ...item, batch })));
    if (!this.running) this.run();
  }

  /** Files that wait for a class follow it when it is renamed; if it is deleted (`to` is null), they are not sent. */
  rename(from, to) {
    for (const item of this.queue) if (item.label === from) item.label = to;
    this.queue = this.queue.filter(({ label }) => label !== null);
  }

  async run() {
    this.running = true;
    while (this.queue.length) {
      const { batch } = this.queue[0];
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.sendBatch(batch)));
    }
    await this.page.loadProject().catch((error) => error.status !== 0 && complain(error));
    this.running = false;
    if (this.queue.length) this.run();
    else this.summary();
  }

  /** Lets no file be sent until the function that this resolves to is called; waits for those on their way. */
  async hold() {
    let release;
    this.held = new Promise((resolve) => { release = resolve; });
    await Promise.allSettled([...this.sending]);
    return release;
  }

  /** Sends files of a batch, one after the other, until none waits. */
  async sendBatch(batch) {
    for (await this.held; this.queue[0]?.batch === batch; await this.held) {
      const item = this.queue.shift();
      this.report(item.name);
      const sent = this.send(item);
      this.sending.add(sent);
      const error = await sent.then(() => null, (reason) => reason);
      this.sending.delete(sent);
      if (error?.code === "duplicate") { this.same.push(error); continue; }
      if (error) {
        // Without a server, or without room on its disk, the files that wait would fail in the same way.
        const rest = [0, 507].includes(error.status) ? this.queue.splice(0) : [];
        this.failures.push(...[item, ...rest].map((each) => ({ item: each, error })));
        continue;
      }
      this.finished += 1;
      if (this.finished % REFRESH === 0) await this.page.loadProject().catch(() => {}); // the next one shows them
    }
  }

  async send({ file, name, label, batch, recording = "" }) {
    checkSize(name, file.size, this.page.state.limits.bytes);
    await upload(`api/project/clips?${new URLSearchParams({ class: label, batch, recording })}`, file, name);
  }

  report(name) {
    const done = this.finished + this.failures.length + this.same.length;
    const total = done + 1 + this.sending.size + this.queue.length;
    this.progress.hidden = total === 1 && !this.listed.length;
    this.note.textContent = t("uploads.running", { at: total - this.queue.length, total, name });
    Object.assign(this.bar, { max: total, value: done });
  }

  summary() {
    const { failures, finished, same } = this;
    Object.assign(this, { failures: [], finished: 0, same: [] });
    this.progress.hidden = true;
    if (same.length) toast(t("uploads.same", { count: same.length, found: errorText(same[0]) }));
    if (failures.length) this.list([...this.listed, ...failures]);
    else if (finished > 1) toast(t("uploads.done", { count: finished }));
  }

  /** Shows failures until they are tried again, or dismissed. */
  list(failures) {
    this.listed = failures;
    const again = () => { this.list([]); this.add(failures.map(({ item }) => item)); };
    show(this.outcome, failures.length > 0 && [h("p.found", {}, t("uploads.failed", { count: failures.length })),
      h("ul.failures", { tabindex: 0 },
        failures.map(({ item, error }) => h("li", {}, h("b", {}, item.name), ": ", rich(errorText(error))))),
      h("div.row", {}, button("upload", t("again"), again), button("close", t("close"), () => this.list([])))]);
  }
}
