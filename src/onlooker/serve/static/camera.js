// The camera of this device, and recordings of it.

import { ApiError } from "./api.js";
import { t } from "./dom.js";

const REASONS = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing",
  OverconstrainedError: "missing", NotReadableError: "busy", AbortError: "busy" };
const TYPES = ["video/webm;codecs=vp8", "video/webm", "video/mp4"];

const refusal = (reason) => new ApiError(0,
  { code: `camera_${reason}`, found: t(`camera.${reason}`), remedy: t(`camera.${reason}_remedy`) });

/** Whether browsers give the camera to this page at all: only on this machine, or by https. */
export const cameraAllowed = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** A stream of the camera. Throws an ApiError that says what is in the way and what to do. */
export async function openCamera() {
  if (!cameraAllowed()) throw refusal("insecure");
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 },
    facingMode: { ideal: "user" } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw refusal(REASONS[error.name] ?? "busy");
  }
}

export const closeCamera = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** Whether the image is shown as in a mirror: not where the camera looks away from the person. */
export const isMirrored = (stream) => stream.getVideoTracks()[0].getSettings().facingMode !== "environment";

/** Starts a recording; call the result to end it. It resolves to a Blob. */
export function record(stream) {
  const type = TYPES.find((name) => MediaRecorder.isTypeSupported(name));
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 2_500_000 });
  const recorded = new Promise((resolve) => { recorder.ondataavailable = ({ data }) => resolve(data); });
  recorder.start();
  return () => {
    if (recorder.state !== "inactive") recorder.stop();
    return recorded;
  };
}

/** The ending of a file name for a recording. */
export const endingOf = (blob) => (blob.type.includes("mp4") ? "mp4" : "webm");
