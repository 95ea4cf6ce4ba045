"""The files in which earlier versions kept a project's changes: they are read once, into its database."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from onlooker.files import printable, read_json
from onlooker.serve.database import Database
from onlooker.serve.recordings import follow_moves
from onlooker.serve.renames import make_moves

__all__ = ["convert_journal"]


def convert_journal(folder: Path, store: Path, database: Database) -> None:
    """Take over ids, confirmed labels, changes that can be undone, and which clips runs were trained with.

    Raises:
        ValueError: the journal is damaged, or would change files elsewhere.
    """
    file = store / "journal.json"
    if database.value("SELECT value FROM state WHERE key = 'converted'"):
        return
    with database.transaction():
        database.run("INSERT INTO state VALUES ('converted', 1)")
        if file.exists():
            values = read_json(file)
            try:
                interrupted = [(str(source), str(target)) for source, target in values["pending"]]
                _convert(values, database)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                what = f"{type(error).__name__}: {printable(error)}"
                raise ValueError(f"{printable(file)}: {what}; restore it, or delete it: the clips stay") from error
            make_moves(folder, interrupted)
            follow_moves(folder, interrupted)
        for trained in sorted((store / "trained").glob("*[0-9].json"), key=lambda path: path.stat().st_mtime):
            with suppress(
                OSError, ValueError, KeyError, AttributeError
            ):  # then it is not known what it was trained with
                values = read_json(trained)
                number = database.run("INSERT INTO run (path) VALUES (?)", str(values["run"])).lastrowid
                for name, clip in values["clips"].items():
                    database.run("INSERT INTO trained VALUES (?, ?, ?)", number, str(name), str(clip))
    file.unlink(missing_ok=True)


def _convert(values: dict[str, Any], database: Database) -> None:
    changes = [*((each, "done") for each in values["done"]), *((each, "undone") for each in reversed(values["undone"]))]
    settled = set(values["settled"]).union(*(each["settled"] for each, state in changes if state == "done"))
    for change, state in changes:
        confirmed = next(iter(change["settled"]), None)
        row = str(change["text"]), str(change.get("batch", "")), json.dumps(change["moves"]), confirmed, state
        database.run("INSERT INTO change (text, batch, moves, settled, state) VALUES (?, ?, ?, ?, ?)", *row)
    for path, clip in values["ids"].items():
        row = clip, *path.rsplit("/", 1), clip in settled
        database.run("INSERT INTO clip (id, folder, name, settled) VALUES (?, ?, ?, ?)", *row)
