// Requests to the server of the page, jobs in its queue, and what to say when it does not answer.

import { sleep, t } from "./dom.js";

/** What the server, or the connection, said: found, expected, remedy. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.found);
    Object.assign(this, error, { status });
  }
}

/** Tells the page whether the server answers, as `detail` of an event `connection`. */
const tell = (online) => dispatchEvent(new CustomEvent("connection", { detail: online }));
const lost = () => new ApiError(0, { code: "lost", found: t("error.lost"), remedy: t("error.lost_remedy") });

async function parse(response) {
  const value = await response.json().catch(() => null);
  if (response.ok && value !== null) return value;
  if (response.status === 204) return null;
  const fallback = { code: "unknown", found: t("error.status", { status: response.status }),
    remedy: t("error.status_remedy") };
  throw new ApiError(response.status, value?.error ?? fallback);
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell(false);
    throw lost();
  }
  tell(true);
  return parse(response);
}

export const get = (path) => request(path);

/** A request that changes something; `body` is sent as JSON where there is one. */
export function send(method, path, body) {
  const headers = { "X-Onlooker": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return request(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

/** Uploads a file; `progress(share)` is called, and an aborted `signal` ends it, while bytes are sent. */
export function upload(path, blob, name, progress = () => {}, signal = null) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    const abort = () => call.abort();
    signal?.addEventListener("abort", abort);
    call.open("POST", path);
    call.setRequestHeader("X-Onlooker", "1");
    call.setRequestHeader("X-Filename", encodeURIComponent(name));
    call.setRequestHeader("Content-Type", "application/octet-stream");
    call.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    call.upload.onload = () => signal?.removeEventListener("abort", abort);
    call.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    call.onload = () => parse(new Response(call.responseText, { status: call.status })).then(resolve, reject);
    call.onerror = () => { tell(false); reject(lost()); };
    call.send(blob);
  });
}

/** Waits for a job: `watch(job)` gets each state of it, an aborted `signal` cancels it. Returns its result, or null. */
export async function follow(id, watch, { every = 250, signal = null } = {}) {
  for (let pause = 60; !signal?.aborted; pause = Math.min(every, pause * 1.6)) {
    let job;
    try {
      job = await request(`api/jobs/${id}`, { signal });
    } catch (error) {
      if (signal?.aborted) break;
      if (error.status !== 0) throw error;
      await sleep(1000); // the connection may come back
      continue;
    }
    watch(job);
    if (job.state === "done") return job.result;
    if (job.state === "failed") throw new ApiError(422, job.error ?? { found: t("error.unknown") });
    if (job.state === "cancelled") return null;
    await sleep(pause);
  }
  await cancel(id).catch(() => {});
  return null;
}

export const cancel = (id) => send("DELETE", `api/jobs/${id}`);

/** Has a model look at a file; `watch(text, progress)` tells how far it is, `began(job)` gets the id of its job. */
export async function lookAt(file, model, limit, watch, signal, began) {
  checkSize(file.name, file.size, limit);
  const sending = (share) => watch(t("look.sending"), share);
  sending(0);
  const { job } = await upload(`api/look?model=${model}`, file, file.name, sending, signal);
  began(job);
  return follow(job, ({ text, progress }) => watch(text, progress), { signal });
}

/** Throws an error to show where `size`, in bytes, is above the server's limit. */
export function checkSize(name, size, limit) {
  if (size <= limit) return;
  const values = { name, size: Math.ceil(size / 1e5) / 10, limit: limit / 1e6 };
  throw new ApiError(413, { code: "too_large", found: t("error.large", values),
    expected: t("error.large_limit", values), remedy: t("error.large_remedy") });
}
