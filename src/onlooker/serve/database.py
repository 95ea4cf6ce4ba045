"""The database of a project: one SQLite file, locked by this process, and one connection that its threads share."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from onlooker.files import check_regular, printable

__all__ = ["Database"]

_SCHEMA = [
    # run: the newest one
    "CREATE TABLE state (key TEXT PRIMARY KEY, value)",
    # Also the clips in the trash.
    """CREATE TABLE clip (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL, digest TEXT,
        seconds REAL, playable INTEGER, settled INTEGER NOT NULL DEFAULT 0, UNIQUE (folder, name))""",
    "CREATE INDEX clip_in_order ON clip (folder, number)",
    "CREATE INDEX clip_by_content ON clip (digest)",
    # By the newest run.
    """CREATE TABLE tested (
        clip TEXT PRIMARY KEY, truth TEXT NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL, margin REAL NOT NULL,
        doubted INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX tested_by_cell ON tested (truth, predicted)",
]
_FOUND = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"


class Database:
    """A database, made if there is none.

    Args:
        file: None: in memory, for a project whose folder does not exist yet.

    Raises:
        ValueError: another server uses it; it is damaged, of another version, or of another program.
    """

    def __init__(self, file: Path | None) -> None:
        if file is not None and file.exists():
            check_regular(file)
        self.file = file
        self._lock = RLock()
        self._connection = sqlite3.connect(file or ":memory:", timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self.run("PRAGMA locking_mode = EXCLUSIVE")
            self.run("PRAGMA trusted_schema = OFF")  # the folder may come from elsewhere
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = FULL")
            if not self.run(_FOUND):
                with self.transaction():
                    for statement in _SCHEMA:
                        self.run(statement)
            if [row[0] for row in self.run(_FOUND)] != _SCHEMA:  # its triggers may be those of an attacker
                raise sqlite3.DatabaseError("of another version of the page, or of another program")
        except sqlite3.DatabaseError as error:
            self.close()
            remedy = "delete it: the clips stay, and which labels were confirmed is forgotten"
            if "locked" in str(error):
                remedy = "another `onlooker serve` uses this folder; use that one, or end it"
            raise ValueError(f"{printable(file)}: {printable(error)}; {remedy}") from error

    def run(self, statement: str, *values: object) -> list[Any]:
        """Execute a statement; returns its rows."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row; None without a row."""
        rows = self.run(statement, *values)
        return rows[0][0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block are made together, and are on the disk at its end; or none is made."""
        with self._lock, self._connection:
            self.run("BEGIN IMMEDIATE")
            yield

    def close(self) -> None:
        self._connection.close()
