// The card of a class in Teach: its name, which can be changed, and its clips; takes files and clips that are dropped.

import { colorOf, spoken } from "./colors.js";
import { button, complain, fileButton, h, t, takeDrops, toast, VIDEOS } from "./dom.js";
import { chosenFiles } from "./uploads.js";
import { clipDialog, Wall } from "./wall.js";

/** The name of a class as the server stores it. */
export const className = (text) => text.trim().split(/\s+/).join(" ");

export class ClassCard {
  constructor(name, teach) {
    const { page } = teach;
    Object.assign(this, { name, teach, page });
    this.wall = new Wall((clip) => clipDialog(clip, page));
    this.count = h("span.many");
    this.hint = h("p.hint", {}, t("class.empty"));
    this.element = h("section.card.class", {
      "--color": colorOf(name), "aria-label": spoken(name), "data-class": name,
      onpointerdown: () => teach.choose(name),
    }, this.head(), this.wall.element, this.hint);
    takeDrops(this.element, (transfer) => teach.drop(transfer, name));
  }

  head() {
    const label = spoken(this.name);
    return h("div.class-head", {}, this.title(), this.count,
      fileButton(t("class.upload", { label }), (input) => this.teach.addFiles(chosenFiles(input), this.name),
        { accept: VIDEOS }, { iconOnly: true }),
      button("trash", t("class.delete", { label }), () => this.remove(), { iconOnly: true }));
  }

  title() {
    const leave = ({ key, target }) => {
      if (key === "Escape") target.value = spoken(this.name);
      if (key === "Escape" || key === "Enter") target.blur();
    };
    return h("input.class-name", { type: "text", value: spoken(this.name), "aria-label": t("class.name"),
      onchange: ({ target }) => this.rename(target), onkeydown: leave });
  }

  async rename(title) {
    const { name, teach } = this;
    const to = className(title.value);
    const chosen = teach.chosen === name;
    const refused = (error) => (error.code === "class_exists" ? this.offerMerge(to) : complain(error));
    const same = [name, spoken(name)].includes(to);
    if (!to || same || !await this.page.change("rename_class", { name, to }, refused)) {
      title.value = spoken(name);
      return;
    }
    teach.uploads.rename(name, to);
    if (chosen) teach.choose(to);
  }

  /** Asks whether the class becomes part of the one that has the name already. */
  offerMerge(text) {
    const { name, page, teach } = this;
    const same = (each) => each.toLowerCase() === text.toLowerCase();
    const to = page.project.classes.map((each) => each.name).find((each) => each !== name && same(each)) ?? text;
    const merge = async () => {
      const told = t("told.merged", { name: spoken(name), to: spoken(to) });
      if (await page.changeAndTell(told, "merge_class", { name, to })) teach.uploads.rename(name, to);
    };
    toast(t("class.exists", { name: spoken(name), to: spoken(to) }), { action: [t("class.merge"), merge] });
  }

  async remove() {
    const { trash, classes } = this.page.project;
    const { count } = classes.find(({ name }) => name === this.name);
    if (!confirm(t("class.why", { label: spoken(this.name), count, ...trash }))) return;
    const told = t("told.deleted_class", { name: spoken(this.name), ...trash });
    if (await this.page.changeAndTell(told, "delete_class", { name: this.name })) this.teach.uploads.rename(this.name, null);
  }

  set({ clips, count }) {
    this.wall.set(clips, count);
    this.count.textContent = t("class.clips", { count });
    this.hint.hidden = count > 0;
  }
}
