"""Rows of one clip that lie apart in a table, brought together on disk: a table of any length takes the memory of one clip's rows."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any


def gather(rows: Iterable[tuple[str, Any]], work: Path) -> Iterator[tuple[str, list[Any]]]:
    """Groups of rows that share a key, in the order in which the keys come up first, and each group's rows in theirs.

    Args:
        rows: (key, row as JSON values).
        work: a folder for the file that they wait in, which is removed at the end.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / "gathered.sqlite"
    path.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as table:
            table.execute("PRAGMA journal_mode = OFF")
            table.execute("PRAGMA synchronous = OFF")  # what a kill leaves is made anew
            table.execute("CREATE TABLE keys (number INTEGER PRIMARY KEY, key TEXT UNIQUE)")
            table.execute("CREATE TABLE rows (key INTEGER, number INTEGER, row TEXT, PRIMARY KEY (key, number)) WITHOUT ROWID")
            table.execute("BEGIN")
            for number, (key, row) in enumerate(rows):
                table.execute("INSERT OR IGNORE INTO keys (key) VALUES (?)", (key,))
                table.execute("INSERT INTO rows SELECT number, ?, ? FROM keys WHERE key = ?", (number, json.dumps(row), key))
            table.execute("COMMIT")
            for number, key in table.execute("SELECT number, key FROM keys ORDER BY number"):
                yield key, [json.loads(row) for (row,) in table.execute("SELECT row FROM rows WHERE key = ? ORDER BY number", (number,))]
    finally:
        path.unlink(missing_ok=True)
