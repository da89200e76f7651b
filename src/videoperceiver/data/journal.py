"""Files of JSON lines that a stage of the build appends to, and takes up again after a kill."""

import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Self


class Journal:
    """Rows that are written one after the other; each is on its way to the disk before the next is made.

        with Journal(path) as journal:
            for row in rest_after(journal.num_rows):
                journal.add(row)

    Args:
        path: made where it does not exist; a torn last line, left by a kill, is cut off.
    """

    def __init__(self, path: Path):
        self.path, self.num_rows = path, 0
        whole = 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        self.num_rows, whole = self.num_rows + 1, whole + len(line)
        self._file = path.open("ab")
        self._file.truncate(whole)

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends a row."""
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        self.num_rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


def rows_of(path: Path) -> Generator[dict[str, Any], None, None]:
    """The rows of a journal, one at a time; none where there is no file. A torn last line is none."""
    if not path.exists():
        return
    with path.open("rb") as file:
        yield from (json.loads(line) for line in file if line.endswith(b"\n"))
