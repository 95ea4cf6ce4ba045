// The page: its tabs, what the server knows, and the connection to it.

import { get, send } from "./api.js";
import { rememberQuiet, setColors } from "./colors.js";
import { Correct } from "./correct.js";
import { button, complain, errorCard, h, rich, show, t, toast } from "./dom.js";
import { Look } from "./look.js";
import { Teach } from "./teach.js";

const TABS = ["look", "teach", "correct"];
const $ = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.changes = Promise.resolve(); // the last change, for the next one to wait for
    this.online = true;
  }

  listen() {
    addEventListener("connection", ({ detail }) => this.connection(detail));
    addEventListener("hashchange", () => this.showTab());
    for (const type of ["dragover", "drop"]) addEventListener(type, (event) => event.preventDefault());
    const tabs = TABS.map((name) => $(`tab-${name}`));
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => this.go(TABS[i]));
      tab.addEventListener("keydown", (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i + 2, Home: 0, End: 2 }[event.key];
        if (to !== undefined) { event.preventDefault(); this.go(TABS[to % 3]); tabs[to % 3].focus(); }
      });
    });
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault(); // the hash says which tab is shown
      $("main").focus();
    });
    show($("offline"), rich(t("offline.text")));
    addEventListener("keydown", (event) => this.undoByKey(event));
    addEventListener("focus", () => this.parts && this.loadProject().catch(() => {})); // others may have changed it
  }

  async begin() {
    this.working = h("div.working", {}, h("div.spinner"), h("p", { role: "status" }, t("loading")));
    this.listen();
    this.showTab();
    try {
      await Promise.all([this.loadState(), this.loadProject()]);
    } catch (error) {
      show(this.working, errorCard(error, button(null, t("again"), () => location.reload(), { kind: "primary" })));
      return;
    }
    const kinds = { look: Look, teach: Teach, correct: Correct };
    this.parts = Object.fromEntries(TABS.map((name) => [name, new kinds[name]($(`panel-${name}`), this)]));
    this.showTab();
    if (this.tab === "correct" || !this.project.model) return;
    get("api/project/inbox").then(({ count }) => this.setInboxCount(count), () => {});
  }

  get tab() { return TABS.find((name) => location.hash.startsWith(`#${name}`)) ?? "look"; }
  get place() { return location.hash.split("/")[1] ?? ""; } // what Look shows: list, camera, or a job

  go(name) {
    if (this.tab !== name) this.move(name === "look" ? this.parts.look.place : "", name);
    this.showTab();
  }

  /** Changes the address: Back leads to what was shown before. */
  move(place, tab = "look") {
    const hash = `#${tab}${place && `/${place}`}`;
    if (location.hash !== hash) history.pushState(null, "", hash);
  }

  showTab() {
    const now = this.tab;
    for (const name of TABS) {
      const chosen = name === now;
      $(`tab-${name}`).setAttribute("aria-selected", String(chosen));
      $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
      if (!chosen && !$(`panel-${name}`).hidden) this.parts?.[name].leave?.();
      $(`panel-${name}`).hidden = !chosen;
    }
    if (this.parts) this.parts[now].enter();
    else show($(`panel-${now}`), this.working);
  }

  async loadState() {
    this.state = await get("api/state");
    for (const { nothing } of this.state.models) rememberQuiet(nothing);
  }

  async loadProject() {
    const before = this.project;
    const project = await get("api/project");
    if (this.project === before || project.version >= this.project.version) this.setProject(project); // else it is old
  }

  setProject(project) {
    this.project = project;
    if (project.undo !== this.told?.undo) this.told?.box.remove(); // its button would undo another change
    rememberQuiet(project.nothing);
    setColors(project.colors);
    this.parts?.teach.update(project);
  }

  /** Makes a change of the server's project, after those before, and returns whether; `refused(error)` shows why not. */
  change(name, values, refused = complain) {
    this.changes = this.changes.then(() => this.changeNow(name, values, refused));
    return this.changes;
  }

  /** Changes the project and says so, with a button that undoes it. Returns whether it was changed. */
  async changeAndTell(text, name, values) {
    if (!await this.change(name, values)) return false;
    const action = [t("undo"), () => this.undo()];
    this.told = { undo: this.project.undo, box: toast(text, { action }) };
    return true;
  }

  async undo() {
    await this.change("undo", {});
    if (this.tab === "correct") this.parts.correct.load();
  }

  undoByKey(event) {
    if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || this.tab === "look" || !this.project?.undo) return;
    if (event.target.closest?.("input[type=text], dialog")) return;
    event.preventDefault();
    this.undo();
  }

  async changeNow(name, values, refused) {
    const { uploads } = this.parts.teach;
    const release = await uploads.hold();
    try {
      if (uploads.running) await this.loadProject(); // each upload has changed the version
      const { version, undo } = this.project;
      this.setProject(await send("POST", `api/project/changes/${name}?version=${version}`, values));
      if (name === "undo") toast(t("told.undone", { change: undo })); // it may be of an earlier day
      return true;
    } catch (error) {
      if (error.code === "changed") {
        await this.loadProject().catch(() => {});
        toast(t("changed"), { error: true });
      } else refused(error);
      return false;
    } finally {
      release();
    }
  }

  showTraining(running) { $("tab-teach").classList.toggle("busy", running); }

  setInboxCount(count) {
    $("count-correct").hidden = count === 0;
    $("count-correct").textContent = String(count);
  }

  connection(online) {
    if (online === this.online || !this.parts) return;
    this.online = online;
    $("offline").hidden = online;
    clearInterval(this.asking);
    if (!online) this.asking = setInterval(() => this.loadState().catch(() => {}), 3000);
    else {
      toast(t("offline.back"));
      this.loadProject().catch(() => {});
    }
  }
}

new Page().begin();
