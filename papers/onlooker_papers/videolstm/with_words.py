"""VideoLSTM fused with motion words, as the authors add dense trajectories to its two streams.

`python -m onlooker_papers.videolstm.with_words jhmdb` with `ONLOOKER_DATA`: one seed of the models
of `onlooker_papers.videolstm.real_video`, whose cells are used if they are there, and the default
command with `--eyes motion`. The weights are chosen on validation clips, for which motion words are
fitted to the training clips alone.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

import onlooker
from onlooker.base.files import write_bytes
from onlooker.data.split import Split, group_of
from onlooker_papers.fusion import average_scores, choose_weights
from onlooker_papers.intervals import as_text, over_recordings
from onlooker_papers.memo import memo
from onlooker_papers.real_clips.frozen import splits_of
from onlooker_papers.real_clips.own_clips import as_list
from onlooker_papers.results import About, Row, write_rows
from onlooker_papers.videolstm.official_budget import BOTH, FUSED
from onlooker_papers.videolstm.on_features import TRAINING, Cell, RealSet, fuse
from onlooker_papers.videolstm.real_video import EPOCHS, SETS

FILE = "videolstm-words"
COMMAND = "python -m onlooker_papers.videolstm.with_words"
WHAT = "VideoLSTM fused with motion words: test clips correct"
WORDS = "motion words"
# `small` is not seen: the model needs an encoder, and it is the fastest one
SETTINGS: dict[str, Any] = {"encoder": "small", "eyes": "motion"}


def words_scores(split: Split, run: Path) -> dict[str, NDArray[np.float32]]:
    """The class probabilities `B K` by motion words of validation clips, for which they are fitted
    to training clips, and of test clips, for which they are fitted to both.
    """
    # the model is fitted to training and validation clips of a split together: to one recording here
    recording = group_of(split.training[0])
    others = [clip for clip in split.training if group_of(clip) != recording]
    shown = [clip for clip in split.training if group_of(clip) == recording]
    held_out = Split(tuple(others), tuple(shown), split.validation)
    parts = {"validation": held_out, "test": split}
    return {name: _scores(part, run / name) for name, part in parts.items()}


def _scores(split: Split, run: Path) -> NDArray[np.float32]:
    clips = run.with_suffix(".csv")
    if not onlooker.TrainedRun.read(run).figures:
        write_bytes(clips, as_list(split))
        onlooker.train(clips, run, resume=run.exists(), quiet=True, **SETTINGS)
    scored = onlooker.TrainedRun.read(run).predictions
    if [clip.truth for clip in scored] != [clip.label for clip in split.test]:
        raise ValueError(f"{run}: its test clips are not those of {clips}; remove the run")
    return np.array([[score for _, score in sorted(clip.scores.items())] for clip in scored])


def figures_of(of: RealSet) -> dict[str, Any]:
    """Accuracies of VideoLSTM, of motion words and of both, and the gain over VideoLSTM."""
    members = [Cell(of, name, 0) for name in FUSED[BOTH]]
    for name in ("convalstm-rgb", "convlstm-flow", *FUSED[BOTH]):
        Cell(of, name, 0).figures()
    settings = {**of.settings(), "seed": 0}
    file = of.run / "seed0" / f"{BOTH}.json"
    video_lstm = fuse([cell.folder for cell in members], of.split, file=file, settings=settings)

    def compute() -> dict[str, Any]:
        stored = [np.load(cell.folder / "scores.npz") for cell in members]
        by_words = words_scores(of.split, of.run / "words")
        validation, test = (
            [average_scores([each[part] for each in stored], video_lstm["weights"]), by_words[part]]
            for part in ("validation", "test")
        )
        chosen, tested = (
            np.array([of.classes.index(clip.label) for clip in clips])
            for clips in (of.split.validation, of.split.test)
        )
        weights = choose_weights(validation, chosen)
        fused = average_scores(test, weights).argmax(1) == tested
        return {
            "weights": list(weights),
            "words": as_text(test[1].argmax(1) == tested),
            "fused": as_text(fused),
        }

    right = memo(of.run / "seed0" / "words.json", {**settings, "words": SETTINGS}, compute)
    recordings = [group_of(clip) for clip in of.split.test]
    rights = {
        BOTH: video_lstm["right"],
        WORDS: right["words"],
        f"{BOTH} + {WORDS}": right["fused"],
    }
    return {
        **{name: text.count("1") / len(text) for name, text in rights.items()},
        "weights": right["weights"],
        "gain": over_recordings([right["fused"]], [video_lstm["right"]], recordings),
    }


def reproduce(name: str, *, run: Path, results: Path) -> dict[str, Any]:
    """Compute the missing cells of split 1 of a set, and write its row; errors as for
    `real_video.reproduce`.
    """
    training = replace(TRAINING, epochs=EPOCHS.get(name, TRAINING.epochs))
    split = splits_of(name)["split1"]
    of = RealSet(run / name / "split1", name, split, training=training)
    figures = figures_of(of)
    row = Row.of(figures, of.run / "seed0" / f"{BOTH}.json", of.run / "seed0" / "words.json")
    about = About(WHAT, COMMAND, [0])
    write_rows(results, FILE, about=about, rows={(name,): row})
    return figures


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(SETS)}. Default: all.")
    ] = None,
) -> None:
    """Train the models on each set, and fuse them."""
    for name in sets or SETS:
        figures = reproduce(name, run=Path("runs/videolstm-real"), results=Path("results"))
        for row in (BOTH, WORDS, f"{BOTH} + {WORDS}"):
            typer.echo(f"{name} {row}: {figures[row]:.1%}")


if __name__ == "__main__":
    typer.run(main)
