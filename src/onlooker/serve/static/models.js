// A trained model: its report, a copy to take along, another name, and its end.

import { send } from "./api.js";
import { button, complain, h, icon, t } from "./dom.js";

/** A link to the report of a model, as in /api/state; none if it has no report. */
export const reportLink = ({ id, report }) =>
  report && h("a.quiet", { href: `media/model/${id}.html`, target: "_blank" }, t("models.report"));

/** What can be done with a model; `changed()` is called when the list of models is another one. */
export function modelActions(model, page, changed) {
  const change = async (method, body) => {
    try {
      const project = await send(method, `api/models/${model.id}`, body);
      await page.loadState();
      page.setProject(project);
      changed();
    } catch (error) { complain(error); }
  };
  return h("div.row", {}, reportLink(model),
    h("a.quiet", { href: `media/model/${model.id}.zip`, download: "" }, icon("download"), t("models.download")),
    button(null, t("models.rename"), () => {
      const name = prompt(t("models.name"), model.name);
      if (name) change("PATCH", { name });
    }),
    button("trash", t("models.delete"), () => { if (confirm(t("models.why", model))) change("DELETE"); }));
}
