// The page: its tabs, what the server knows, and the connection to it.

import { get, onConnection, send } from "./api.js";
import { rememberQuiet } from "./colors.js";
import { Correct } from "./correct.js";
import { complain, dialog, errorCard, h, rich, show, t, toast } from "./dom.js";
import { Look } from "./look.js";
import { Teach } from "./teach.js";
import { AT_ONCE } from "./uploads.js";

const TABS = ["look", "teach", "correct"];
const $ = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.change = this.change.bind(this);
    this.changes = Promise.resolve(); // the last change, for the next one to wait for
    onConnection((online) => this.connection(online));
  }

  listen() {
    addEventListener("hashchange", () => this.showTab());
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => event.preventDefault());
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
    $("open-keys").addEventListener("click", showKeys);
    $("open-phone").addEventListener("click", () => showPhone(this.state?.phone));
    $("retry").addEventListener("click", () => this.reconnect());
    addEventListener("keydown", (event) => {
      if (event.key === "?" && !event.target.closest?.("input, textarea, dialog")) showKeys();
    });
  }

  async begin() {
    this.working = h("div.working", {}, h("div.spinner"), h("p", { role: "status" }, t("loading")));
    this.listen();
    this.showTab();
    try {
      await Promise.all([this.loadState(), this.loadProject()]);
    } catch (error) {
      const again = h("button.primary", { type: "button", onclick: () => location.reload() }, t("again"));
      show(this.working, errorCard(error, again));
      return;
    }
    const kinds = { look: Look, teach: Teach, correct: Correct };
    this.parts = Object.fromEntries(TABS.map((name) => [name, new kinds[name]($(`panel-${name}`), this)]));
    this.showTab();
    if (this.tab !== "correct") this.countInbox().catch(() => {});
  }

  async countInbox() {
    if (this.project.model) this.setInboxCount((await get("/api/project/inbox")).items.length);
  }

  get tab() { return TABS.find((name) => location.hash === `#${name}`) ?? "look"; }

  go(name) {
    if (this.tab !== name) history.pushState(null, "", `#${name}`);
    this.showTab();
  }

  showTab() {
    const now = this.tab;
    for (const name of TABS) {
      const chosen = name === now;
      $(`tab-${name}`).setAttribute("aria-selected", String(chosen));
      $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
      if (!chosen && !$(`panel-${name}`).hidden) this.parts?.[name].leave();
      $(`panel-${name}`).hidden = !chosen;
    }
    if (this.parts) this.parts[now].enter();
    else show($(`panel-${now}`), this.working);
  }

  async loadState() {
    this.state = await get("/api/state");
    for (const { nothing } of this.state.models) rememberQuiet(nothing);
  }
  async loadProject(force = false) {
    const before = this.project;
    const project = await get("/api/project");
    // If none came meanwhile, the answer is newer, even if its version is lower: a restarted server counts again.
    this.setProject(project, force || this.project === before);
  }

  /** Takes a project from an answer of the server; older ones than the current are ignored unless forced. */
  setProject(project, force = false) {
    if (!force && this.project && project.version < this.project.version && project.path === this.project.path) return;
    this.project = project;
    rememberQuiet(project.nothing);
    this.parts?.teach.update(project);
    clearTimeout(this.measuring);
    const pause = Math.max(1000, project.clips); // ms: thousands of clips take longer to describe, and to measure
    if (project.measuring + project.guessing === 0) return;
    this.measuring = setTimeout(() => this.loadProject().catch(() => {}), pause);
  }

  /** Changes the project, after the changes before; what went wrong is shown. Returns whether it has been changed. */
  change(method, path, body) {
    this.changes = this.changes.then(() => this.changeNow(method, path, body));
    return this.changes;
  }

  async changeNow(method, path, body) {
    const { uploads } = this.parts.teach;
    // Each upload of this page that is under way may change the version once.
    const tries = uploads.running && !/\/(undo|redo)$/.test(path) ? 2 + AT_ONCE : 1;
    const release = uploads.hold();
    try {
      for (let i = 0; i < tries; i += 1) if (await this.tryChange(method, path, body)) return true;
      toast(t("changed"), { error: true });
    } catch (error) {
      complain(error);
    } finally {
      release();
    }
    return false;
  }

  /** Changes the project, unless it is another one by now: then it is loaded, and false returned. */
  async tryChange(method, path, body) {
    try {
      const versioned = `${path}${path.includes("?") ? "&" : "?"}version=${this.project.version}`;
      this.setProject(await send(method, versioned, body));
      return true;
    } catch (error) {
      if (error.code !== "changed") throw error;
    }
    await this.loadProject(true).catch(() => {});
    return false;
  }

  showTraining(running) { $("tab-teach").classList.toggle("busy", running); }

  /** The camera with the newest model, in Teach. */
  tryLive() {
    this.go("teach");
    this.parts.teach.tryLive();
  }

  setInboxCount(count) {
    $("count-correct").hidden = count === 0;
    $("count-correct").textContent = String(count);
  }

  connection(online) {
    if (online === this.online || !this.parts) return;
    const back = this.online === false;
    this.online = online;
    $("offline").hidden = online;
    if (online) {
      clearInterval(this.asking);
      if (back) { toast(t("offline.back")); this.loadProject(true).catch(() => {}); }
      return;
    }
    show($("offline").querySelector(".text"), rich(t("offline.text")));
    this.asking = setInterval(() => this.reconnect(), 3000);
  }

  reconnect() { this.loadState().catch(() => {}); }
}

function showKeys() {
  const rows = ["space", "step", "ends", "part", "event", "escape", "speed", "record", "delete", "tabs"];
  dialog(t("shortcuts.open"),
    h("dl.keys", {}, rows.map((name) => [h("dt", {}, h("kbd", {}, t(`shortcuts.${name}_key`))),
    h("dd", {}, t(`shortcuts.${name}`))])));
}

function showPhone(address) {
  if (!address) {
    dialog(t("phone.open"), h("p", {}, t("phone.local")), h("pre.code", { tabindex: 0 }, t("phone.command")),
      h("p.hint", {}, t("phone.private")));
    return;
  }
  dialog(t("phone.open"), h("p", {}, t("phone.scan")), h("img.qr", { src: "/api/phone.svg", alt: t("phone.code") }),
    h("p", {}, h("a", { href: address }, address)), h("p.hint", {}, t("phone.film")));
}

new Page().begin();
