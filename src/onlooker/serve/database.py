"""The database of a project: one SQLite file, with a connection for each thread."""

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from onlooker.files import DiskFullError, check_regular, printable

__all__ = ["Database"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE state (key TEXT PRIMARY KEY, value);
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
CREATE TABLE run (number INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE);
CREATE TABLE trained (
    run INTEGER NOT NULL, name TEXT NOT NULL, clip TEXT NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID;
CREATE TABLE tested (
    clip TEXT PRIMARY KEY, truth TEXT NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL, margin REAL NOT NULL,
    doubted INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX tested_by_cell ON tested (truth, predicted);
"""


class _Connection(sqlite3.Connection):
    """A connection that is closed when its thread has ended: there can be references to it that do not keep it."""


class Database:
    """A database, made if there is none.

    Args:
        file: None: in memory, for a project whose folder does not exist yet.

    Raises:
        ValueError: the file is damaged, of a later version, or of another program.
    """

    def __init__(self, file: Path | None) -> None:
        self._name = f"file:{secrets.token_hex(8)}?mode=memory&cache=shared" if file is None else str(file)
        self.file, self._local, self._all = file, threading.local(), WeakSet[_Connection]()
        if file is not None and file.exists():
            check_regular(file)
        try:
            self._first = self._connection()  # what is only in memory ends with its last connection
            found = self.value("PRAGMA user_version")
            if found == 0 and not self.value("SELECT count(*) FROM sqlite_master"):
                with self.transaction():
                    for statement in _statements():
                        self.run(statement)
                    self.run(f"PRAGMA user_version = {_VERSION}")
            elif (found, self._schema()) != (_VERSION, [*_statements()]):  # its triggers may be those of an attacker
                raise sqlite3.DatabaseError(f"version {found}, expected that of the page, {_VERSION}")
        except sqlite3.DatabaseError as error:
            self.close()
            remedy = "delete it: the clips stay, and what could be undone is forgotten"
            raise ValueError(f"{printable(file)}: {printable(error)}; {remedy}") from error

    def run(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Execute a statement in the connection of this thread."""
        return self._connection().execute(statement, values)

    def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row; None without a row."""
        row = self.run(statement, *values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes in the block are made together, and are on the disk at its end; or none is made."""
        connection = self._connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                raise DiskFullError(
                    28, "no space left for the page's database; free some space, and try again"
                ) from error
            raise

    def _schema(self) -> list[str]:
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        return [f"{row[0]};" for row in self.run(query)]

    def add_class(self, name: str) -> bool:
        """Add a class, unless there is one; returns whether it is new."""
        query = "INSERT OR IGNORE INTO class SELECT ?, count(*) FROM clip WHERE folder = ?"
        return self.run(query, name, name).rowcount > 0

    def forget_class(self, name: str) -> bool:
        """Remove a class with its clips; returns whether there was one."""
        self.run("DELETE FROM clip WHERE folder = ?", name)
        return self.run("DELETE FROM class WHERE name = ?", name).rowcount > 0

    def move(self, source: str, target: str) -> None:
        """Note that a clip, or a class with its clips, was renamed. Outside of the trash, a class is in no folder."""
        if "/" in source and "/" in target:
            (old, name), (new, renamed) = (path.rsplit("/", 1) for path in (source, target))
            query = "UPDATE clip SET folder = ?, name = ? WHERE folder = ? AND name = ?"
            self.run(query, new, renamed, old, name)
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
        query = "INSERT INTO state VALUES ('version', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1"
        self.run(query)

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in [*self._all]:
            connection.close()

    def _connection(self) -> _Connection:
        if (connection := getattr(self._local, "connection", None)) is None:
            shared = self.file is None
            connection = sqlite3.connect(
                self._name, timeout=30, isolation_level=None, check_same_thread=False, factory=_Connection, uri=shared
            )
            self._all.add(connection)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA trusted_schema = OFF")  # the folder may come from elsewhere
            if self.file is not None:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
        return connection


def _statements() -> Iterator[str]:
    """The statements of the schema; those of a trigger contain semicolons."""
    statement = ""
    for line in _SCHEMA.strip().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
