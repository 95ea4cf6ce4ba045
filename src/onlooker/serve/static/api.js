// Requests to the server of the page, jobs in its queue, and what to say when it does not answer.

import { t } from "./dom.js";

/** What the server, or the connection, said: found, expected, remedy. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.found);
    Object.assign(this,
      { status, code: error.code, found: error.found, expected: error.expected, remedy: error.remedy });
  }
}

const watchers = new Set();

/** Calls `watcher(online)` whenever the server is lost or answers again. */
export const onConnection = (watcher) => watchers.add(watcher);
const tell = (online) => watchers.forEach((watcher) => watcher(online));

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

export const post = (path, body) => send("POST", path, body);

/**
 * Uploads a file or a recording; `progress(share)` is called while bytes are sent. An aborted `signal` ends it while
 * bytes are sent; after that the answer still arrives, as the server has the file.
 */
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

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits for a job; `watch(job)` is called with each state of it. Returns its result. */
export async function follow(id, watch = () => {}, { every = 250, stopped = () => false } = {}) {
  for (let pause = 60; !stopped(); pause = Math.min(every, pause * 1.6)) {
    let job;
    try {
      job = await get(`/api/jobs/${id}`);
    } catch (error) {
      if (error.status !== 0) throw error;
      await wait(1000); // the connection may come back
      continue;
    }
    watch(job);
    if (job.state === "done") return job.result;
    if (job.state === "failed") throw new ApiError(422, job.error ?? { found: t("error.unknown") });
    if (job.state === "cancelled") return null;
    await wait(pause);
  }
  return null;
}

export const cancel = (id) => send("DELETE", `/api/jobs/${id}`);

/** Whether a file fits the server's limit; an error to show otherwise. */
export function tooLarge(file, limit) {
  if (!limit || file.size <= limit) return null;
  const values = { name: file.name, size: megabytes(file.size), limit: megabytes(limit) };
  return new ApiError(413,
    { code: "too_large", found: t("error.large", values), expected: t("error.large_limit", values),
    remedy: t("error.large_remedy") });
}

export const megabytes = (bytes) => t("megabytes",
  { value: bytes < 9.5e6 ? (bytes / 1e6).toFixed(1) : Math.round(bytes / 1e6).toLocaleString("en") });
