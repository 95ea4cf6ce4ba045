"""Train and evaluate on a folder of clips: from files to a run that explains itself."""

import dataclasses
import random
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

import onlooker
from onlooker.config import DataConfig, ModelConfig, TrainConfig
from onlooker.files import read_json, write_json
from onlooker.data.feature_store import FeatureStore
from onlooker.data.sets import ClipSet, read_set, root_of, set_name
from onlooker.data.split import Split, require_clips, split_clips
from onlooker.data.samples import sample_rate
from onlooker.data.clips import ClipFrames, ClipCrops, Files, prepare
from onlooker.files import DiskFullError
from onlooker.evaluation.metrics import measure, write_scores
from onlooker.evaluation.report.page import Tone
from onlooker.evaluation.report.summary import summary_page
from onlooker.runs.features import open_stores, stored_clips, stored_settings, use_encoders
from onlooker.runs.init_from import check_split, initialize
from onlooker.runs.tune_localization import choose_localization
from onlooker.models.registry import configured, resolve_loss
from onlooker.models.video_model import VideoModel
from onlooker.drawing.sheet import sheet, write_png
from onlooker.drawing.clip import draw_clip
from onlooker.recognizer import Recognizer, load, resolve_normalization
from onlooker.structures import Clip, ClipError, Evaluation, Frames
from onlooker.training.fit import Curves, check_penalty, fit
from onlooker.video.reader import VideoReader
from onlooker.video.sampling import equally_spaced
from onlooker.video.write import encode_mp4

Drawn = tuple[NDArray[np.uint8], str, Tone, float]

# Clips drawn for the report: enough to see what the model does, few enough for a page of some megabytes.
_SHOWN = 12
_SHOWN_SIDE = 320
# What a run holds before config.json, in which it has begun.
_BEGUN = ("split.json", "skipped.json")


def train(
    clips: Path | ClipSet,
    run: Path,
    model: ModelConfig,
    data: DataConfig,
    training: TrainConfig,
    split: Split | None = None,
    resume: bool = False,
    strict: bool = False,
    quiet: bool = False,
    features: Sequence[Path] = (),
    left_out: Sequence[ClipError] = (),
    init_from: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train on clips, evaluate on their test split, and leave a run that explains itself.

    All clips are read first, and split without those that cannot be read.

    With `features` the encoder is that of a feature store, and stays as it is: the rest of the model learns from the
    stored maps, and so without augmentation. The run is complete all the same, and answers about clips.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        run: a new or empty folder for the run; with `resume`, one whose training was cut off.
        model, data, training: settings.
        split: training, validation and test clips; None: those of `clips`, or `split_clips` of all.
        resume: go on where the run was cut off; settings and split are then those of the run.
        strict: stop at the first clip that cannot be read.
        quiet: no progress bars.
        features: a feature store, whose encoder and sampling are used; clips that it lacks are encoded into it. For
            `motion` two: of the picture, and of the flow.
        left_out: clips that the split has left out already, to be told with those that cannot be read.
        init_from: for `motion`, a `convalstm` run on the picture and a `convlstm` run on the flow, of the same split:
            it begins with their weights (`initialize_motion`).

    Returns:
        The figures of the test side (`accuracy.measure`).

    Raises:
        FileExistsError: the run is there already and `resume` was not asked for, or the folder holds other files.
        ClipError: the folder does not fit, or not one clip can be read.
        FileNotFoundError: no trained model in a folder of `init_from`.
        ValueError: settings, stores or runs that do not fit, or are of another version.
    """
    folder = clips.root if isinstance(clips, ClipSet) else root_of(clips)
    goes_on = _goes_on(run, resume)
    if split is None and not goes_on:
        found = clips if isinstance(clips, ClipSet) else read_set(clips)
        split, left_out = found.split, (*left_out, *found.left_out)
    known = [*left_out]  # and those that the run has left out before
    if strict and known:
        raise known[0]
    begin: Mapping[Path, str | None] = dict.fromkeys(init_from)
    if goes_on:
        model, data, training, split, features, begin = _read_run(run, folder)
        require_clips(split.clips)
        known = _read_skipped(run)
    training = resolve_loss(training, model.name)
    stores = open_stores(features)
    model, data = stored_settings(stores, model, data) if stores else (model, data)
    data = resolve_normalization(data, model.pretrained)
    every_clip = found.clips if split is None else split.clips
    classes = sorted({clip.label for clip in every_clip})
    # Before clips are read, which may take long: settings that do not fit are told at once.
    net, begun = _build(model, data, training.seed, classes, stores, begin)
    check_penalty(net, training)
    if stores:
        samples, skipped = stored_clips(every_clip, classes, stores, net, data, strict, quiet)
    else:
        samples, skipped = read_clips(every_clip, classes, data, strict, quiet)
    skipped = (*known, *skipped)
    if split is None:
        split = split_clips(samples.clips, training.seed)
    elif not goes_on:
        split = split.without({error.path for error in skipped})
    check_split([*begin], split, folder)
    settings = {"model": model.to_dict(), "data": data.to_dict(), "training": training.to_dict()}
    places = {"clips": str(folder.resolve()), "features": [str(store.resolve()) for store in features]}
    _write_run(run, folder, {**places, "init_from": begun, "classes": classes, **settings}, split, skipped)

    learn, choose = samples.only(split.training), samples.only(split.validation)
    if isinstance(learn, ClipCrops):
        learn = learn.random(training.seed)
    curves = fit(net, learn, choose, data, training, run, None if quiet else model.name)
    recognizer = Recognizer(net, classes, data, training.judged_by)
    recognizer.frame_rate = sample_rate([clip.path for clip in split.training], data)
    recognizer.localization, how = choose_localization(recognizer, choose)
    if how and not quiet:
        print(f"localization: {how}", file=sys.stderr)
    _save(recognizer, run / "model")
    settings["localization"] = {"chosen": how or "defaults", **dataclasses.asdict(recognizer.localization)}
    return _report(run, recognizer, samples.only(split.test), skipped, curves, settings)


def evaluate(run: Path, clips: Path | ClipSet | None = None) -> dict[str, Any]:
    """Evaluate a run on its test clips, or on other clips of the same classes.

    Writes evaluation.json, scores.csv, attention.png and report.html into the run (for other clips: into
    `evaluation-NAME` in it). Other clips that the model was trained on are left out.

    Args:
        run: the run's folder.
        clips: a folder, a list, or what `read_set` returns: the test clips if it has splits, else all clips.

    Raises:
        FileNotFoundError: no trained model there.
        ClipError: clips that are missing, or not one that can be read and is new to the model.
    """
    recognizer = load(run)
    if not (run / "split.json").exists():
        raise FileNotFoundError(f"{run}: no split.json; expected a run's folder, as `onlooker train` leaves it")
    stored = read_json(run / "config.json")
    split = Split.from_dict(read_json(run / "split.json"), Path(stored["clips"]))
    if clips is None:
        test = split.test
        require_clips(test)
        skipped = _read_skipped(run)
        out = run
    else:
        other = clips if isinstance(clips, ClipSet) else read_set(clips, classes=1)
        test, clips = other.test, other.path
        if unknown := sorted({clip.label for clip in test} - set(recognizer.classes)):
            remedy = f"the model knows {', '.join(recognizer.classes)}"
            raise ClipError(clips, f"classes {', '.join(unknown)}", remedy)
        learned = {clip.path.resolve() for clip in (*split.training, *split.validation)}
        known = [clip for clip in test if clip.path.resolve() in learned]
        if len(known) == len(test):
            raise ClipError(clips, "the model has learned from all of these clips", "give clips that are new to it")
        learned_from = (ClipError(clip.path, "the model has learned from it", "it cannot test it") for clip in known)
        skipped = [*other.left_out, *learned_from]
        test = tuple(clip for clip in test if clip.path.resolve() not in learned)
        out = run / f"evaluation-{set_name(clips)}"
    samples, unreadable = read_clips(test, recognizer.classes, recognizer.data)
    settings = {name: stored[name] for name in ("model", "data", "training")}
    return _report(out, recognizer, samples, [*skipped, *unreadable], read_curves(run), settings)


def read_clips(
    clips: Sequence[Clip],
    classes: Sequence[str],
    data: DataConfig,
    strict: bool = False,
    quiet: bool = False,
    processes: int | None = None,
) -> tuple[ClipFrames, tuple[ClipError, ...]]:
    """`frame_cache.prepare` with a progress bar, unless `quiet`; with `strict` the first bad clip is an error."""

    def progress(items: Iterable[Files | ClipError], total: int) -> Iterable[Files | ClipError]:
        for item in items if quiet else track(items, "reading clips", total):
            if strict and isinstance(item, ClipError):
                raise item
            yield item

    return prepare(clips, classes, data, processes=processes, progress=progress)


def read_curves(run: Path) -> Curves | None:
    """Loss and accuracy of each epoch, from a run's `curves.csv`; None where there is none."""
    if not (run / "curves.csv").exists():
        return None
    table = np.genfromtxt(run / "curves.csv", delimiter=",", names=True, ndmin=1)
    return {
        side: {name: table[f"{side}_{name}"].tolist() for name in ("loss", "accuracy")}
        for side in ("training", "validation")
    }


def _build(
    model: ModelConfig,
    data: DataConfig,
    seed: int,
    classes: Sequence[str],
    stores: Sequence[FeatureStore],
    begin: Mapping[Path, str | None],
) -> tuple[VideoModel, dict[str, str]]:
    """A model as its training begins, and what `initialize` says of the runs that its weights come from."""
    torch.manual_seed(seed)
    # Weights of ImageNet would be downloaded only to be overwritten.
    pretrained = model.pretrained and not (stores or begin)
    net = configured(dataclasses.replace(model, pretrained=pretrained), data, len(classes))
    begun = initialize(net, begin, classes, data, stores)
    if stores:
        if not net.encodes_frames:
            raise ValueError(f"{model.name} sees frames, not stored features; leave out --features")
        use_encoders(net, stores)
    return net, begun


def _goes_on(run: Path, resume: bool) -> bool:
    """Whether a run is there to go on with; raises where one that has learned, or other files, would be overwritten."""
    if (run / "config.json").exists():
        if not resume and any((run / name).exists() for name in ("checkpoints", "model")):
            raise FileExistsError(f"{run}: holds a run already; go on with it by --resume, or choose another --run")
        return resume
    if run.exists() and any(path.name not in _BEGUN for path in run.iterdir()):
        raise FileExistsError(f"{run}: holds files that are not a run's; choose a new folder by --run")
    return False


def _write_run(run: Path, folder: Path, config: dict[str, Any], split: Split, skipped: Iterable[ClipError]) -> None:
    """What `_read_run` reads; config.json comes last, for where it is a run has begun."""
    write_json(run / "split.json", split.to_dict(folder))
    write_json(run / "skipped.json", [{"path": str(e.path), "found": e.found, "remedy": e.remedy} for e in skipped])
    write_json(run / "config.json", {"onlooker": onlooker.__version__, **config})


def _read_skipped(run: Path) -> list[ClipError]:
    return [ClipError(**error) for error in read_json(run / "skipped.json")]


def _read_run(
    run: Path, folder: Path
) -> tuple[ModelConfig, DataConfig, TrainConfig, Split, tuple[Path, ...], dict[Path, str | None]]:
    stored, sides = read_json(run / "config.json"), read_json(run / "split.json")
    return (
        ModelConfig.from_dict(stored["model"]),
        DataConfig.from_dict(stored["data"]),
        TrainConfig.from_dict(stored["training"]),
        Split.from_dict(sides, folder),
        tuple(map(Path, stored.get("features") or ())),
        {Path(each): weights for each, weights in (stored.get("init_from") or {}).items()},
    )


def _save(recognizer: Recognizer, folder: Path) -> None:
    """Write a model's folder under another name, then rename: a reader never sees half of it."""
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        recognizer.save(temporary)
    except DiskFullError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _report(
    out: Path,
    recognizer: Recognizer,
    samples: ClipFrames,
    skipped: Sequence[ClipError],
    curves: Curves | None,
    settings: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    evaluation = recognizer.evaluate(samples, skipped=skipped)
    measured = measure(evaluation)
    write_scores(out / "scores.csv", evaluation)
    drawn = list(_drawn_clips(recognizer, samples, evaluation))
    write_png(out / "attention.png", sheet([(f"{name}\n{tone}", frames) for frames, name, tone, _ in drawn]))
    name = f"{settings['model']['name']} · {settings['model']['encoder']}"
    counts = f"{len(samples)} test clips · {len(recognizer.classes)} classes"
    clips = [(encode_mp4(frames, fps), caption, tone) for frames, caption, tone, fps in drawn]
    summary_page(name, counts, evaluation, measured, curves, clips, settings, recognizer.model.attends).write(
        out / "report.html"
    )
    write_json(out / "evaluation.json", measured)
    return measured


def _drawn_clips(recognizer: Recognizer, samples: ClipFrames, evaluation: Evaluation) -> Iterable[Drawn]:
    """Half of them clips that the model got wrong, where there are so many; drawn by lot, always the same."""
    right = evaluation.scores.argmax(1) == evaluation.targets
    order = random.Random(0).sample(range(len(samples)), len(samples))
    wrong_ones = [i for i in order if not right[i]][: _SHOWN // 2]
    right_ones = [i for i in order if right[i]][: _SHOWN - len(wrong_ones)]
    for i in right_ones + wrong_ones:
        clip = samples.clips[i]
        seen = recognizer.predict(clip.path)
        # Of windows many more were seen than are drawn.
        seen = seen.at(equally_spaced(len(seen.times), min(recognizer.data.frames, len(seen.times))))
        frames = VideoReader(clip.path).get(seen.indices)
        small = dataclasses.replace(frames, pixels=_shrunk(frames.pixels))
        seconds = max(float(seen.times[-1] - seen.times[0]), 0.1)
        fps = float(np.clip((len(frames) - 1) / seconds, 2, 25))
        caption = f"{clip.label} · {clip.path.stem}\nsaid {seen.label}, {100 * seen.score:.0f} %"
        drawn = draw_clip(small.pixels, seen, recognizer.display_flow(clip.path, seen.indices))
        yield drawn, caption, "right" if right[i] else "wrong", fps


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[1:3]
    scale = _SHOWN_SIDE / min(height, width)
    if scale >= 1:
        return pixels
    size = (2 * round(width * scale / 2), 2 * round(height * scale / 2))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in pixels])
