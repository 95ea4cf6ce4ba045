"""The page of VideoLSTM's ablation on the moving target, next to the published figures."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.utils import flow_to_image

from onlooker import load
from onlooker.base.files import write_bytes
from onlooker.report.overlay import boxes, enlarge, overlays
from onlooker.report.page import Page
from onlooker_papers.mnist import DigitSplit
from onlooker_papers.sheet import sheet
from onlooker_papers.tables import add_table
from onlooker_papers.videolstm import tables
from onlooker_papers.videolstm.ablation import WITH_ATTENTION_LOSS, AblationBudget
from onlooker_papers.videolstm.moving_target import SIZE, TargetClips, data


def write_page(
    run: Path,
    results: Mapping[str, Mapping[str, Any]],
    *,
    budget: AblationBudget,
    splits: DigitSplit,
    command: str,
) -> Path:
    """Write `report.html` into the folder of the trainings; `results` are figures by the name of
    the results file.
    """
    seeds = tables.seeds(budget.seeds)
    page = Page(
        "Which digit moves?",
        f"VideoLSTM's ablation · {budget.clips:,} clips · {seeds} · {budget.name}",
    )
    page.text(
        "Each clip shows four digits, of which one moves; its class is the only label. A model that recognizes all "
        "four digits but ignores motion is correct in one clip of four; a single frame gives a hint, because the other "
        "digits are in the cells of a grid. Test clips show unseen digits. Every weight was random before training. "
        "The paper's own sets, UCF101 and HMDB-51: `--ucf101 DIR`, `--hmdb51 DIR`."
    )
    add_table(page, tables.ablation(results))
    page.heading("Where, from labels only")
    add_table(page, tables.places(results))
    page.heading("Where it looked")
    image = sheet(list(_looks(run, budget, splits)))
    write_bytes(run / "attention.png", image)
    page.figure(
        image,
        "Unseen clips. Both models have the auxiliary attention loss (`-grounded`), which is not in the paper. The "
        "true box was not used in training. Below each clip is the flow that *motion* sees: its hue is direction.",
        wide=True,
    )
    page.text(f"`{command}`")
    return page.write(run / "report.html")


def _looks(run: Path, budget: AblationBudget, splits: DigitSplit) -> Iterator[tuple[str, Any]]:
    """The same test clips with both kinds of attention, and the flow that one of them sees."""
    clips = TargetClips(splits.test, 2, 5)
    seen = {}
    for spec in WITH_ATTENTION_LOSS:
        recognizer = load(run / f"{spec.name}-{budget.clips}-seed{budget.seeds[0]}", device="cpu")
        seen[spec.name] = recognizer.classify(clips.seen_as(spec.modality).frames())
    for i, (image, target) in enumerate(
        zip(clips.images, clips.batch.targets.tolist(), strict=True)
    ):
        frames = torch.from_numpy(image).expand(-1, -1, -1, 3).numpy()
        true = clips.batch.boxes[i, :, 0].numpy()
        for name, (scores, attention, *_) in seen.items():
            assert attention is not None
            shown = overlays(frames, attention[i])
            of_clip = scores[i].mean(0)
            predicted = f"{of_clip.argmax()}, {100 * of_clip.max():.0f} %"
            yield f"{name}\n{target}: predicted {predicted}", _with_boxes(shown, true)
        # the inverse of `to_bytes`
        moved = (clips.flow[i].astype(np.float32) / 127.5 - 1) * data("flow").flow_limit
        colors = flow_to_image(torch.from_numpy(moved).movedim(-1, 1)).movedim(1, -1).numpy()
        yield "the flow\nof these frames", _with_boxes(colors, true)


def _with_boxes(
    frames: Iterable[NDArray[np.uint8]], true: NDArray[np.float32]
) -> NDArray[np.uint8]:
    return np.stack(
        [
            boxes(enlarge(frame), box, size=(SIZE, SIZE))
            for frame, box in zip(frames, true, strict=True)
        ]
    )
