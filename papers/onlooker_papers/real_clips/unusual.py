"""How often clips that are unlike those of training are named wrong, and how well calibrated their
confidence is, beside those that are not.

    python -m onlooker_papers.real_clips.unusual                # adds to results/calibration.json
    python -m onlooker_papers.real_clips.unusual jhmdb          # the rows of one set again

The layers are those of the default command with the encoder `lite0`, by the eyes that it chooses,
fitted to the training clips of each split; the test clips of all splits count together: other
people, scenes or groups of the same set. `SET_on_jhmdb` are the same models on J-HMDB's test clips
of list 1, of another place and of other classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from onlooker import Clip, Decision, Recognizer
from onlooker.data.clips import read_clips
from onlooker.data.split import Split
from onlooker.measure.metrics import calibration_error
from onlooker.training.linear_fitter import fit_layers
from onlooker_papers.real_clips.frozen import SETS, encode, input_of, model, splits_of
from onlooker_papers.real_clips.own_clips import CALIBRATION, COMMAND, WHAT_CALIBRATION
from onlooker_papers.results import About, Row, write_rows

MADE_BY = "python -m onlooker_papers.real_clips.unusual"
ENCODER = "lite0"
# rows, with the sets that their models were trained on and tested on
ROWS = {
    **{name: (name, name) for name in SETS},
    **{f"{name}_on_jhmdb": (name, "jhmdb") for name in ("weizmann", "surveillance")},
}


class Answers(NamedTuple):
    """For each test clip `B`: whether it is unusual, whether its class is right, and the probability
    of that class.
    """

    unusual: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    confidence: NDArray[np.floating]

    def where(self, shown: NDArray[np.bool_]) -> dict[str, float | int | None]:
        """The figures of some of the clips; None where there are no clips."""
        count = int(shown.sum())
        if not count:
            return {"clips": 0, "wrong": None, "confidence": None, "error": None}
        correct = self.correct[shown]
        confidence = self.confidence[shown]
        return {
            "clips": count,
            "wrong": 1 - float(correct.mean()),
            "confidence": float(confidence.mean()),
            "error": calibration_error(confidence, correct),
        }


@cache
def recognizers(name: str, run: Path) -> Mapping[str, tuple[Recognizer, Split]]:
    """For each split of a set, the layers fitted to its training clips; features are kept in the
    folder `run`.
    """
    encoded = encode(name, run, encoder=ENCODER, eyes="auto").clips
    splits = splits_of(name)
    paths = [clip.path for clip in next(iter(splits.values())).clips]
    data = input_of(ENCODER).data
    fitted = {}
    for number, split in splits.items():
        classes = tuple(sorted({clip.label for clip in split.clips}))
        known = {clip.path for clip in (*split.training, *split.validation)}
        positions = np.array([i for i, path in enumerate(paths) if path in known])
        net = model(len(classes), True, ENCODER)
        training = encoded.subset(positions)
        choice, decision = fit_layers(net, training, Decision(classes), stream_clips={})
        fitted[number] = Recognizer(net, replace(data, eyes=choice.candidate.eyes), decision), split
    return fitted


def answers(recognizer: Recognizer, clips: Sequence[Clip]) -> Answers:
    """What a recognizer answers for clips, of which those of classes that it does not know are all
    wrong.
    """
    classes = recognizer.classes
    shown = [clip if clip.label in classes else replace(clip, label=classes[0]) for clip in clips]
    samples, _ = read_clips(shown, classes, recognizer.data, strict=True)
    evaluation = recognizer.evaluate(samples)
    if evaluation.unusual is None:
        raise ValueError("the model does not know which clips are unusual")
    answered = np.array(evaluation.answer_names)[evaluation.answers]
    correct = answered == np.array([clip.label for clip in clips])
    return Answers(evaluation.unusual, correct, evaluation.answer_scores)


def measure(name: str, run: Path, results: Path) -> Mapping[str, object]:
    """The figures of a row; writes it to `calibration.json`. Errors as for `splits_of`."""
    trained_on, tested_on = ROWS[name]
    other = splits_of(tested_on)["split1"].test if tested_on != trained_on else ()
    each = [
        answers(recognizer, other or split.test)
        for recognizer, split in recognizers(trained_on, run).values()
    ]
    of = Answers(*map(np.concatenate, zip(*each, strict=True)))
    figures = {"unusual": of.where(of.unusual), "usual": of.where(~of.unusual)}
    settings = {
        "trained_on": trained_on,
        "tested_on": tested_on,
        "encoder": ENCODER,
        "eyes": "auto",
    }
    write_rows(
        results,
        CALIBRATION,
        about=About(WHAT_CALIBRATION, COMMAND, [0]),
        rows={(name, group): Row(row, settings) for group, row in figures.items()},
        only=name,
        made_by=MADE_BY,
    )
    return figures


def main(
    sets: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(ROWS)}. Default: all.")
    ] = None,
) -> None:
    """Measure unusual and usual clips."""
    for name in sets or ROWS:
        figures = measure(name, Path("runs/real-clips/features"), Path("results"))
        typer.echo(f"{name}: {figures}")


if __name__ == "__main__":
    typer.run(main)
