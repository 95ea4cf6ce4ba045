"""Progress of `onlooker.train` for programs: stages with their parts; what the function raises ends
the training.
"""

from pathlib import Path

import moving_squares
import pytest

import onlooker
from onlooker.base.progress import reporting, tracked

Stages = list[tuple[str, int, int]]


def test_parts_are_reported_once_they_are_done_and_only_within_the_block() -> None:
    stages: Stages = []
    with reporting(lambda *stage: stages.append(stage)):
        items = tracked("ab", "reading clips", 2)
        assert (next(items), stages) == ("a", [("reading clips", 0, 2)])
        assert [*items] == ["b"]
        with reporting(None):
            assert [*tracked("c", "encoding clips", 1)] == ["c"]
    assert stages == [("reading clips", number, 2) for number in range(3)]
    assert [*tracked("d", "fitting", 1)] == ["d"]
    assert len(stages) == 3


def test_progress_of_train_counts_epochs_and_what_it_raises_ends_the_training(
    tmp_path: Path,
) -> None:
    squares = moving_squares.make_set(tmp_path / "squares", clips=5)
    stages = Stages()

    def note(stage: str, done: int, total: int) -> None:
        stages.append((stage, done, total))
        if (stage, done) == ("training", 2):
            raise KeyboardInterrupt

    settings = {
        "model": "convalstm",
        "hidden": 4,
        "frames": 4,
        "size": 16,
        "epochs": 3,
        "encoder": "conv4",
    }
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        onlooker.train(squares, tmp_path / "run", quiet=True, progress=note, **settings)
    assert [each for each in stages if each[0] == "training"] == [
        ("training", 1, 3),
        ("training", 2, 3),
    ]
