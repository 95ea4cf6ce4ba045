// A trained model: its report, and a copy to take along.

import { h, icon, t } from "./dom.js";

/** A link to the report of a model, as in /api/state; none if it has no report. */
export const reportLink = ({ id, report }) =>
  report && h("a.quiet", { href: `/media/model/${id}.html`, target: "_blank" }, t("models.report"));

/** What can be taken of a model. */
export const modelFiles = (model) => h("div.row", {}, reportLink(model),
  h("a.quiet", { href: `/media/model/${model.id}.zip`, download: "" }, icon("download"), t("models.download")));
