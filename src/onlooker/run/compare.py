"""Several models, seeds and splits on the same clips: a run for every training, several at once."""

import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast, get_args

import joblib
import numpy as np
import torch

from onlooker.base.config import Modality, Settings
from onlooker.base.files import write_json
from onlooker.base.parallel import cores, end_with_parent, memory_gb
from onlooker.base.progress import note, tracked
from onlooker.base.records import ClipError
from onlooker.data.clips import read_clips, read_thumbnails
from onlooker.data.scenes import plan_joined
from onlooker.data.sets import ClipSet, folder_name, read_set, root_of, set_name
from onlooker.data.split import Split, Splits, source_of
from onlooker.measure.figures import Figures
from onlooker.measure.metrics import accuracy_interval, read_scores
from onlooker.models.registry import configured, find_recipe
from onlooker.report.page import percent
from onlooker.report.summary import comparison_page
from onlooker.run.features import encoded_clips
from onlooker.run.preparation import build
from onlooker.run.record import FIGURES, REPORT, SCORES, RunRecord, lock_run, read_figures
from onlooker.run.train import continue_run, finished_figures
from onlooker.training.fitters import complete_each

__all__ = ["compare", "settings_of"]

BASELINE = "linear"
_TRAINING_GIB = 4  # memory of a training: its clips, and the libraries

Task = Callable[[], Figures | None]


def compare(
    clips: Path | ClipSet,
    out: Path,
    models: Mapping[str, Settings],
    *,
    splits: Splits,
    seeds: Sequence[int],
    jobs: int | None = None,
) -> dict[str, Any]:
    """Train every model with every seed on every split, each in a run `out/MODEL/SPLIT-seedSEED`.

    A run that is finished is not trained again, and an interrupted one is continued. All models are
    trained on the same clips: a clip that any model cannot use, such as a single frame if optical
    flow is needed, is left out for all.

    Args:
        clips: a folder, a list, or what `read_set` returns.
        out: gets the runs, comparison.json, and report.html.
        models: the complete settings of each, by name (`settings_of`); their seed is replaced.
        splits: by name, or a function that makes them from the clips that can be read. Each seed's
            accuracy is over the test videos of all splits together.
        seeds: of weights, order and augmentation; the splits stay.
        jobs: as in `run_parallel`.

    Returns:
        `accuracy` (mean over seeds), `interval` (95 %), `spread` (standard deviation),
        `frame_accuracy`, `per_seed` and `modality`, each by model; and `majority` (baseline) and
        the counts.

    Raises:
        ValueError: settings that no model has, a run that was made with other settings, or another
            process that computes in `out`.
    """
    clips = read_set(clips, fills=True) if isinstance(clips, Path) else clips
    for line in clips.notes:
        note(line)
    clips.require_apart()
    splits, skipped = _prepare(clips, splits, [*models.values()])
    labels = Counter(clip.label for split in splits.values() for clip in split.test)
    missing: dict[str, Task] = {}
    with lock_run(out):
        for (split, divided), seed, (name, settings) in itertools.product(
            splits.items(), seeds, models.items()
        ):
            run = _folder(out, name, split, seed=seed)
            seeded = settings._replace(training=replace(settings.training, seed=seed))
            record = RunRecord(
                root_of(clips.path), (), seeded, split=divided, recordings=clips.recordings
            )
            if finished_figures(record, run) is None:
                missing[f"{run.parent.name}/{run.name}"] = partial(
                    continue_run, record, run, quiet=True
                )
        if missing:
            run_parallel(missing, jobs)
        results = {
            **_means(out, models, splits=splits, seeds=seeds),
            "majority": max(labels.values()) / labels.total(),
            "test_videos": labels.total(),
            "splits": len(splits),
            "seeds": list(seeds),
            "weights": "pretrained"
            if any(settings.model.pretrained for settings in models.values())
            else "from scratch",
            "modality": {name: settings.data.modality for name, settings in models.items()},
            "notes": list(clips.notes),
            "skipped": [str(error) for error in (*clips.left_out, *skipped)],
        }
        write_json(out / "comparison.json", results)
        comparison_page(f"Models on {set_name(clips.path)}", results).write(out / REPORT)
    return results


def settings_of(
    names: str, shared: Settings, explicit: Collection[str] | None = None
) -> dict[str, Settings]:
    """The complete settings of models by name, from a comma-separated list such as
    `motion,convlstm:flow`.

    Each is `NAME` or `NAME:MODALITY`. A modality that the model has anyway is dropped, so that a
    model that is listed twice is noticed. Shared settings that have no effect on a model have their
    defaults there; all models have one encoder, so none chooses its own.

    Args:
        explicit: the settings that the user has set, as in `complete_each`.

    Raises:
        ValueError: an unknown model, or one that is listed twice; or as `complete_each`.
    """
    rows: dict[str, Settings] = {}
    for word in map(str.strip, names.split(",")):
        name, _, modality = word.rpartition(":")
        if modality not in get_args(Modality):
            name = word
            modality = ""
        own = find_recipe(name).modality or shared.data.modality
        row = name if modality in ("", own) else f"{name}-{modality}"
        if row in rows:
            raise ValueError(f"models to compare: {row} is listed twice; list it once")
        data = replace(shared.data, modality=cast(Modality, modality or own))
        rows[row] = Settings(replace(shared.model, name=name), data, shared.training)
    with_defaults = [settings.with_defaults for settings in rows.values()]
    return dict(zip(rows, complete_each(with_defaults, explicit), strict=True))


def with_baseline(names: str) -> str:
    """Names of models, separated by commas, with the linear baseline unless it is among them."""
    listed = {name.partition(":")[0].strip() for name in names.split(",")}
    return names if BASELINE in listed else f"{names},{BASELINE}"


def default_jobs() -> int:
    """One training on a GPU; without a GPU, as many trainings as cores and memory allow, at least
    one.
    """
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return 1
    memory = memory_gb()
    return cores() if memory is None else max(1, min(cores(), memory // _TRAINING_GIB))


def run_parallel(tasks: Mapping[str, Task], jobs: int | None = None) -> None:
    """Run all tasks, several at once, each in a process of its own, with a progress bar, and with
    the accuracy of each when it ends.

    On the CPU, each process has one thread. The processes end with this one, even if it is killed,
    so that no two processes ever continue from the same checkpoints.

    Args:
        tasks: by name; each returns the figures of its test clips. They are sent to other
            processes.
        jobs: number of tasks that run at once; 1: in this process; None: `default_jobs()`.

    Raises:
        RuntimeError: the system ended a process, usually because memory ran out.
        Exception: the first error of a task.
    """
    jobs = min(jobs or default_jobs(), len(tasks))
    models = {name.partition("/")[0] for name in tasks}
    began = time.monotonic()
    done: Iterable[tuple[str, Figures | None]] = ((name, task()) for name, task in tasks.items())
    if jobs > 1:
        pool = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)
        done = pool(joblib.delayed(_run_in_worker)(name, task) for name, task in tasks.items())
    try:
        for count, (name, figures) in enumerate(tracked(done, "training", len(tasks)), 1):
            if figures:
                note(f"{name}: {percent(figures.accuracy)}")
            if count == len(models) < len(tasks):  # one of each model, as a rule
                minutes = (time.monotonic() - began) / 60 * (len(tasks) / count - 1)
                note(f"{len(tasks) - count} more trainings: about {minutes:.1f} min")
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a training was ended by the system, usually because memory ran out; run the same command with fewer "
            f"jobs than {jobs} (--jobs) to continue"
        ) from error


def _run_in_worker(name: str, task: Task) -> tuple[str, Figures | None]:
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    # Ctrl-C reaches all processes; the parent handles it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    return name, task()


def _prepare(
    clips: ClipSet, splits: Splits, models: Sequence[Settings]
) -> tuple[dict[str, Split], tuple[ClipError, ...]]:
    """Decode the clips for all models into the cache; returns the splits without the clips that
    cannot be read, and the errors of these.
    """
    classes = sorted({clip.label for clip in clips.clips})
    for settings in models:  # invalid settings are an error before clips are read
        configured(settings, len(classes))
    modalities = {data.modality for _, data, _ in models}
    data = replace(models[0].data, modality=modalities.pop() if len(modalities) == 1 else "both")
    samples, skipped = read_clips(clips.clips, classes, data)
    for settings in models:
        if settings.training.features:
            encoded_clips(  # into the cache: once, not in every training at the same time
                samples.clips,
                classes,
                build(settings, classes),
                data=settings.data,
                precision=settings.training.precision,
            )
    if callable(splits):
        return dict(
            plan_joined(
                splits,
                samples.clips,
                read_thumbnails(samples, data),
                by_scene=clips.requested.scenes,
            )
        ), skipped
    unreadable = {error.path for error in skipped}
    return {name: split.without(unreadable) for name, split in splits.items()}, skipped


def _folder(out: Path, model: str, split: str, *, seed: int) -> Path:
    return out / folder_name(model) / f"{split}-seed{seed}"


def _means(
    out: Path, models: Iterable[str], *, splits: Mapping[str, Split], seeds: Iterable[int]
) -> dict[str, Any]:
    """The figures of finished runs, by model: means over seeds; and the number of recordings."""
    recordings = [source_of(clip) for split in splits.values() for clip in split.test]
    rows = dict[str, dict[str, Any]]()
    for model in models:
        by_seed = [[_folder(out, model, split, seed=seed) for split in splits] for seed in seeds]
        correct = np.array(
            [
                [clip.correct for run in runs for clip in read_scores(run / SCORES)]
                for runs in by_seed
            ]
        )
        accuracies = correct.mean(1).tolist()
        rows[model] = {
            "accuracy": mean(accuracies),
            "interval": accuracy_interval(correct.mean(0), recordings),
            "spread": stdev(accuracies) if len(accuracies) > 1 else None,
            "frame_accuracy": mean(map(_frame_accuracy, by_seed)),
            "per_seed": accuracies,
        }
    by_figure = {name: {model: row[name] for model, row in rows.items()} for name in rows[model]}
    return {**by_figure, "recordings": len({*recordings})}


def _frame_accuracy(runs: Iterable[Path]) -> float:
    """The share of correct frames, over the frames of all splits together."""
    accuracies = list[float]()
    frames = list[int]()
    for run in runs:
        figures = read_figures(run)
        if figures is None or figures.frame_accuracy is None or figures.frames is None:
            raise ValueError(
                f"{run / FIGURES}: no figures of frames; remove that run, and compare again"
            )
        accuracies.append(figures.frame_accuracy)
        frames.append(figures.frames)
    return float(np.average(np.array(accuracies, float), weights=np.array(frames, float)))
