"""What the HMDB-51 report says, what is done here, and the measured effect."""

from collections.abc import Mapping, Sequence
from typing import Any

from onlooker.config import ModelConfig, TrainConfig
from onlooker.evaluation.report import Table
from onlooker_papers.hmdb10 import on_jhmdb
from onlooker_papers.hmdb10.classes import CLASSES, FIRST_TEN, REPORT_CLIPS
from onlooker_papers.hmdb10.reproduce import PUBLISHED
from onlooker_papers.tables import Results, share
from onlooker_papers.videolstm.real_tables import interval

NAME, REAL, SIZES = "hmdb10", "hmdb10-real", "hmdb10-sizes"


def differences(results: Results) -> Table:
    """One row per setting: in the report, in `onlooker reproduce hmdb10`, on J-HMDB; and its effect on J-HMDB."""
    of, sizes = results[REAL], results[SIZES]
    models, clips, draws = of["models"], of["clips"][0], len(of["clips"])
    report, first = models[on_jhmdb.ATTENTION], next(iter(sizes))
    full, real = PUBLISHED, on_jhmdb.TRAINING
    parameters = next(iter(results[NAME].values()))["parameters"][on_jhmdb.ATTENTION]

    def better(name: str) -> str:
        return f"`{name}` {_negative(models[name]['report_is_better_by'])}"

    def by(key: str) -> str | None:
        rows = [row for row in sizes.values() if row[key] != sizes[first][key]]
        return "; ".join(f"{row[key]}: {interval(row['over_report'])}" for row in rows) or None

    rows: list[list[str | None]] = [
        ["clips", f"{sum(REPORT_CLIPS.values()):,} of ten classes of HMDB-51; brush_hair and cartwheel are named",
         f"{sum(CLASSES[label] for label in FIRST_TEN):,} of the first ten classes; others by `--classes`",
         f"{sum(clips.values())} of the first ten classes of J-HMDB, without cartwheel", None],
        ["training, validation, test", _counts(REPORT_CLIPS),
         "in the same proportions, each source video in one split", f"{_counts(clips)}, in the same way; {draws} draws",
         f"`{on_jhmdb.ATTENTION}` {share(min(report['each']))} to {share(max(report['each']))} % by the draw"],
        ["frames", "30, equally spaced", f"{full.data.frames}, equally spaced",
         f"{on_jhmdb.DATA.frames}, equally spaced", None],
        ["encoder", "last convolutions of VGG-16, 7×7×512", f"VGG-16 of ImageNet, {full.data.size} pixels, frozen",
         f"`small` of Tiny ImageNet, {on_jhmdb.DATA.size} pixels, 7×7×560, frozen", None],
        ["attention", "softmax of the average of the cube plus a context vector of the state; no equation",
         "softmax of the mean over channels plus a linear layer of the mean of the state", "the same",
         f"without it: {better('convlstm')}"],
        ["attended features", "attention × features", "the same", "the same", None],
        ["recurrent part", "ConvLSTM; compared with an LSTM, without a figure", "ConvLSTM, 3×3 kernels",
         "ConvLSTM, 3×3 kernels; LSTM", f"{better('lstm')}; none: {better('convnet')}"],
        ["channels", "not stated; \"in the range of 100,000\" parameters", f"{full.hidden}: {parameters:,} parameters",
         f"{report['hidden']}: {report['parameters']:,} parameters", by("channels")],
        ["before the classes", None, f"mean of the map, dropout {ModelConfig.dropout:g}", "whole map, no dropout",
         None],
        ["optimizer", None, _optimizer(full.training), _optimizer(real), None],
        ["learning rate", None, f"{full.training.lr:g}",
         f"{' or '.join(f'{rate:g}' for rate in of['rates'])}, by validation clips", None],
        ["batch", "15; others compared, without a figure", f"{full.training.batch}", f"{real.batch}", by("batch")],
        ["epochs", "about 10", f"{full.training.epochs}", f"{report['epoch']}", None],
        ["tested weights", None, "last epoch", "last epoch", None],
        ["accuracy", "of frames", "of frames, and of clips", "of frames, and of clips",
         f"`{on_jhmdb.ATTENTION}`: frames {share(report['frame_accuracy'])} %, clips {share(report['accuracy'])} %"],
    ]  # fmt: skip
    note = (
        "Last column: differences in points from `report` as in the third column, on J-HMDB, with 95 % intervals: of "
        f"models over {draws} draws, of sizes over the recordings of {sizes[first]['test_clips']} test "
        "clips. –: not stated, or not measured."
    )
    return Table(["setting", "report", "`onlooker reproduce hmdb10`", "on J-HMDB", "measured"], rows, note)


def _counts(clips: Mapping[str, int]) -> str:
    return ", ".join(map(str, clips.values()))


def _negative(of: Sequence[float | None]) -> str:
    """The interval of a difference, the other way around."""
    center, low, high = (None if value is None else -value for value in of)
    return interval([center, high, low])


def _optimizer(training: TrainConfig) -> str:
    names: Mapping[str, Any] = {"adamw": "AdamW, one cycle"}
    return f"{names[training.optimizer]}, norm clipped to {training.grad_clip:g}"
