"""Run an exported model live, without PyTorch."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # on by default; read when onnxruntime is imported
import onnxruntime

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("EXPORT", type=Path, help="a folder that `onlooker export` has written")
parser.add_argument("SOURCE", help="a video file, an address, or the number of a camera")
folder, source = vars(parser.parse_args()).values()
about = json.loads((folder / "step.json").read_text(encoding="utf-8"))
size = about["frame"]["size"]
to_colors = cv2.COLOR_BGR2GRAY if about["frame"]["image"] == "gray" else cv2.COLOR_BGR2RGB
step = onnxruntime.InferenceSession(str(folder / "step.onnx"), providers=["CPUExecutionProvider"])
names = [output.name for output in step.get_outputs()]
feeds = {
    name: np.zeros([1, *part["shape"][1:]], np.float32) for name, part in about["state"].items()
}
motion = about.get("motion")
if motion:
    # a file that needs neither PyTorch nor onlooker: copy it, if yours are elsewhere
    sys.path.append(str(Path(__file__).resolve().parents[1] / "src/onlooker/video"))
    from motion_words import VERSION, MotionEye

    if motion["version"] != VERSION:
        sys.exit(f"motion_words.py is version {VERSION}, the export {motion['version']}")
    eye = MotionEye(folder / motion["words"])
    eye_state = None
    feeds["motion"] = np.zeros([1, motion["shape"][1]], np.float32)
views = about["frame"].get("views", ["pictures"])
crop_memory = None
if "actor" in views:
    # needs onlooker's code, and neither PyTorch nor its other modules
    sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))
    from onlooker.localization.crop import next_crop


def resized(picture: np.ndarray) -> np.ndarray:
    """A picture as a model gets it."""
    how = cv2.INTER_AREA if size < max(picture.shape[:2]) else cv2.INTER_LINEAR
    small = cv2.resize(picture, (size, size), interpolation=how)
    return cv2.cvtColor(small, to_colors).reshape(1, size, size, -1)


# seconds from frame to frame, as in training
between = 1 / about["frame_rate"] if about.get("frame_rate") else 0.0
# of states, the answer is that of an earlier frame, whose surroundings are known now
delay = about["bouts"]["delay"] if about.get("bouts") else 0
video = cv2.VideoCapture(int(source) if source.isdecimal() else source)
if not video.isOpened():
    sys.exit(f"{source}: cannot be opened")
begin = time.monotonic()
due = steps_left = 0
while (read := video.read())[0] or steps_left:
    if read[0]:
        steps_left = delay
        is_file = Path(source).is_file()
        seconds = video.get(cv2.CAP_PROP_POS_MSEC) / 1000 if is_file else time.monotonic() - begin
        if motion:  # of all frames, also of those between two that the model gets
            color = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            eye_state, row = eye.step(color, seconds, eye_state)
            feeds["motion"] += row
        if seconds < due - 1e-3:
            continue
        due = max(due, seconds - between) + between
        shown = seconds
        pictures = {"pictures": read[1]}
        if "actor" in views:
            color = cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
            crop_memory, crop = next_crop(crop_memory, color, seconds)
            pictures["actor"] = crop.of(read[1])
        feeds["frame"] = np.concatenate([resized(pictures[view]) for view in views], -1)
    else:  # the last frame stays until what is around it is known
        steps_left -= 1
        shown += between
    answer = dict(zip(names, step.run(None, feeds), strict=True))
    feeds |= {name: answer[part["next"]] for name, part in about["state"].items()}
    if motion:
        feeds["motion"] = np.zeros_like(feeds["motion"])
    known = shown - delay * between
    if known > -1e-3:
        scores = answer["scores"][0]
        label = about["classes"][scores.argmax()]
        print(f"{known:8.2f} s  {label}  {100 * scores.max():.1f} %", flush=True)
