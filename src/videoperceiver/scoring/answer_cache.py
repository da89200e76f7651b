"""Answers of a remote model, a JSON file each: what was paid for once is not asked again."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


class AnswerCache:
    """Decoded JSON answers by key; a half-written or damaged file counts as none.

    Args:
        folder: made when the first answer is stored; None: nothing is kept.
    """

    def __init__(self, folder: str | os.PathLike[str] | None):
        self._folder = Path(folder) if folder is not None else None

    def get(self, key: str) -> Any:
        """The answer, None where there is none."""
        if self._folder is None:
            return None
        try:
            return json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def put(self, key: str, answer: Any) -> None:
        """Stores an answer; it appears whole or not at all."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(answer, file)
        os.replace(name, self._folder / f"{key}.json")
