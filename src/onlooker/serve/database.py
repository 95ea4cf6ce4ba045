"""The database of a project: one SQLite file, and one connection that all threads share in turn."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

from onlooker.files import DiskFullError, check_regular, printable

__all__ = ["Database"]

_SCHEMA = """
CREATE TABLE state (key TEXT PRIMARY KEY, value);  -- version: how often the project has changed; run: the newest one
CREATE TABLE class (name TEXT PRIMARY KEY, clips INTEGER NOT NULL DEFAULT 0);
CREATE TABLE clip (  -- also the clips in the trash
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL,
    seconds REAL, playable INTEGER, settled INTEGER NOT NULL DEFAULT 0, UNIQUE (folder, name));
CREATE INDEX clip_in_order ON clip (folder, number);
CREATE TRIGGER clip_added AFTER INSERT ON clip BEGIN
    UPDATE class SET clips = clips + 1 WHERE name = new.folder; END;
CREATE TRIGGER clip_removed AFTER DELETE ON clip BEGIN
    UPDATE class SET clips = clips - 1 WHERE name = old.folder; END;
CREATE TRIGGER clip_moved AFTER UPDATE OF folder ON clip BEGIN
    UPDATE class SET clips = clips - 1 WHERE name = old.folder;
    UPDATE class SET clips = clips + 1 WHERE name = new.folder; END;
CREATE TABLE change (  -- moves: JSON, [[from, to], ...]; settled: the clip whose label it confirms
    number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, batch TEXT NOT NULL, moves TEXT NOT NULL,
    settled TEXT, state TEXT NOT NULL CHECK (state IN ('doing', 'done', 'undoing', 'undone')));
CREATE INDEX change_by_state ON change (state, number);
CREATE TABLE tested (  -- by the newest run
    clip TEXT PRIMARY KEY, truth TEXT NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL, margin REAL NOT NULL,
    doubted INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX tested_by_cell ON tested (truth, predicted);
"""


class Database:
    """A database, made if there is none.

    Args:
        file: None: in memory, for a project whose folder does not exist yet.

    Raises:
        ValueError: the file is damaged, of another version, or of another program.
    """

    def __init__(self, file: Path | None) -> None:
        if file is not None and file.exists():
            check_regular(file)
        self._lock, self._connection = RLock(), _connect(file or ":memory:")
        try:
            self.run("PRAGMA trusted_schema = OFF")  # the folder may come from elsewhere
            self.run("PRAGMA journal_mode = WAL")
            self.run("PRAGMA synchronous = FULL")
            with closing(_connect(":memory:")) as made:
                made.executescript(_SCHEMA)
                if not (found := _schema(self._connection)):
                    self._connection.executescript(f"BEGIN; {_SCHEMA} COMMIT")
                elif found != _schema(made):  # its triggers may be those of an attacker
                    raise sqlite3.DatabaseError("of another version of the page, or of another program")
        except sqlite3.DatabaseError as error:
            self.close()
            remedy = "delete it: the clips stay, and what could be undone is forgotten"
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
        with self._lock:
            try:
                self.run("BEGIN IMMEDIATE")
                yield
                self.run("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self.run("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    reason = "no space left for the page's database; free some space, and try again"
                    raise DiskFullError(28, reason) from error
                raise

    def add_class(self, name: str) -> bool:
        """Add a class, unless there is one; returns whether it is new."""
        query = "INSERT OR IGNORE INTO class SELECT ?, count(*) FROM clip WHERE folder = ? RETURNING 1"
        return bool(self.run(query, name, name))

    def forget_class(self, name: str) -> bool:
        """Remove a class with its clips; returns whether there was one."""
        self.run("DELETE FROM clip WHERE folder = ?", name)
        return bool(self.run("DELETE FROM class WHERE name = ? RETURNING 1", name))

    def move(self, source: str, target: str) -> None:
        """Note that a clip, or a class with its clips, was renamed. Outside of the trash, a class is in no folder."""
        if "/" in source and "/" in target:
            query = "UPDATE clip SET folder = ?, name = ? WHERE folder = ? AND name = ?"
            self.run(query, *target.rsplit("/", 1), *source.rsplit("/", 1))
            return
        if "/" not in target:
            self.add_class(target)
        self.run("UPDATE clip SET folder = ? WHERE folder = ?", target, source)
        self.run("DELETE FROM class WHERE name = ?", source)

    def set_state(self, change: int, state: str | None) -> None:
        """Give a change another state; None: it is forgotten."""
        if state is None:
            self.run("DELETE FROM change WHERE number = ?", change)
        self.run("UPDATE change SET state = ? WHERE number = ?", state, change)

    def count_version(self) -> None:
        """Note that the project has changed."""
        self.run("INSERT INTO state VALUES ('version', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _connect(file: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)


def _schema(connection: sqlite3.Connection) -> list[tuple[str]]:
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    return connection.execute(query).fetchall()
