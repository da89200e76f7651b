"""Prediction rows as arrays: what the tables need of an answer in some sixty bytes, whatever was said. A row becomes a mapping only while it is looked at."""

import math
from array import array
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, overload

import numpy as np

from videoperceiver.evaluation.metrics import Row

CODED = ("sample", "family", "kind", "static", "condition", "extracted", "reference", "video", "tags")
"""Fields of few distinct values, kept once each."""


class _Coded:
    """A column of codes into its distinct values, in order of first appearance."""

    def __init__(self) -> None:
        self.names: list[Any] = []
        self.codes = array("i")
        self._known: dict[Hashable, int] = {}

    def append(self, value: Hashable) -> int:
        code = self._known.get(value)
        if code is None:
            code = self._known[value] = len(self.names)
            self.names.append(value)
        self.codes.append(code)
        return code


class _Store:
    """The columns that all views of a set of rows share."""

    def __init__(self) -> None:
        self.coded = {name: _Coded() for name in CODED}
        self.scores, self.officials, self.keys = array("d"), array("d"), array("q")
        self.text, self.ends = bytearray(), array("q")  # the questions' ids, one after the other: they are all distinct
        self._arrays: dict[str, np.ndarray] = {}
        self._videos: tuple[np.ndarray, list[str]] | None = None

    def append(self, row: Row, official: float | None) -> None:
        for name, column in self.coded.items():
            column.append(tuple(row["tags"].items()) if name == "tags" else row.get(name))
        self.scores.append(math.nan if row["score"] is None else row["score"])
        self.officials.append(math.nan if official is None else official)
        self.text += str(row["question"]).encode(errors="surrogatepass")
        self.ends.append(len(self.text))
        self.keys.append(hash((row["sample"], row["question"])))

    def array(self, name: str) -> np.ndarray:
        """A column (N,): codes of a coded one, else numbers."""
        if name not in self._arrays:
            self._arrays[name] = np.array(self.coded[name].codes if name in self.coded else getattr(self, name))
        return self._arrays[name]

    def videos(self) -> tuple[np.ndarray, list[str]]:
        """Rank (N,) of each row's video among the videos' names, and these in ascending order."""
        if self._videos is None:
            names = self.coded["video"].names
            order = sorted(range(len(names)), key=names.__getitem__)
            rank = np.empty(len(names), dtype=np.int32)
            rank[order] = np.arange(len(names))
            self._videos = rank[self.array("video")], [names[i] for i in order]
        return self._videos

    def question(self, i: int) -> str:
        return self.text[self.ends[i - 1] if i else 0 : self.ends[i]].decode(errors="surrogatepass")


class CompactRows(Sequence[Row]):
    """Rows of predictions.jsonl without what was said, or some of them.

    Build with `collect`; then take parts with `where` and `by`. As a sequence it gives mappings, made anew each time.

    Attributes:
        values: (N,) what `metrics.score` says of each row: 0 where unparsed, NaN where not scored.
    """

    def __init__(self, store: _Store, at: np.ndarray, raw: np.ndarray, values: np.ndarray):
        self._store, self._at, self._raw, self.values = store, at, raw, values

    @classmethod
    def collect(cls, rows: Iterable[tuple[Row, float | None]]) -> "CompactRows":
        """Each row once, with its score by the official parser, None where there is none."""
        store = _Store()
        for row, official in rows:
            store.append(row, official)
        return cls._of(store, store.array("scores"))

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "CompactRows":
        """Any rows; those that are compact as they are."""
        return rows if isinstance(rows, CompactRows) else cls.collect((row, None) for row in rows)

    @classmethod
    def _of(cls, store: _Store, raw: np.ndarray) -> "CompactRows":
        everything = cls(store, np.arange(len(raw)), raw, raw)
        everything.values = np.where(np.isnan(raw) & everything.closed, 0.0, raw)
        return everything

    def by_official(self) -> "CompactRows":
        """All rows of the set as the official parser scores them."""
        return self._of(self._store, self._store.array("officials"))

    def __len__(self) -> int:
        return len(self._at)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> "CompactRows": ...
    def __getitem__(self, index: int | slice) -> "Row | CompactRows":
        if isinstance(index, slice):
            return CompactRows(self._store, self._at[index], self._raw[index], self.values[index])
        i = int(self._at[index])
        row = {name: column.names[column.codes[i]] for name, column in self._store.coded.items()}
        score = float(self._raw[index])
        return row | {"tags": dict(row["tags"]), "question": self._store.question(i), "score": None if math.isnan(score) else score}

    def where(self, mask: np.ndarray) -> "CompactRows":
        """The rows marked (N,)."""
        return CompactRows(self._store, self._at[mask], self._raw[mask], self.values[mask])

    def with_values(self, values: np.ndarray) -> "CompactRows":
        """The same rows with other values (N,)."""
        return CompactRows(self._store, self._at, self._raw, values)

    @property
    def videos(self) -> np.ndarray:
        """(N,) codes into `video_names`."""
        return self._store.videos()[0][self._at]

    @property
    def video_names(self) -> list[str]:
        """Every video of the set, in ascending order."""
        return self._store.videos()[1]

    @property
    def closed(self) -> np.ndarray:
        """(N,) whether a parser reads the answer and the reference is known."""
        return ~self.is_in("kind", ("open",)) & ~self.is_in("reference", ("",))

    @property
    def unparsed(self) -> np.ndarray:
        """(N,) closed questions in whose answer nothing could be read."""
        return self.closed & self.is_in("extracted", (None,))

    def is_in(self, name: str, values: Sequence[Any]) -> np.ndarray:
        """(N,) whether a field is one of some values."""
        column = self._store.coded[name]
        known = np.fromiter((item in values for item in column.names), dtype=bool, count=len(column.names))
        return known[self._codes(name)]

    def by(self, key: str) -> "dict[str, CompactRows]":
        """Rows by the text of a coded field or of a tag ("tags.cue"), in its order; rows without it are left out."""
        names, codes = self._tagged(key.removeprefix("tags.")) if key.startswith("tags.") else (self._store.coded[key].names, self._codes(key))
        present = [int(code) for code in np.unique(codes) if code >= 0 and names[code] is not None]
        return {str(names[code]): self.where(codes == code) for code in sorted(present, key=lambda code: str(names[code]))}

    def tags(self) -> set[str]:
        """Names of the tags that any row has."""
        known = self._store.coded["tags"].names
        return {name for code in np.unique(self._codes("tags")) for name, _ in known[code]}

    def _tagged(self, tag: str) -> tuple[list[str], np.ndarray]:
        """Values of a tag and the rows' codes (N,) into them, -1 where a row has none."""
        values = [dict(items).get(tag) for items in self._store.coded["tags"].names]
        names = sorted({str(value) for value in values if value is not None})
        place = {name: code for code, name in enumerate(names)}
        codes = np.array([-1 if value is None else place[str(value)] for value in values], dtype=np.int32)
        return names, codes[self._codes("tags")]

    def partners(self, others: "CompactRows") -> np.ndarray:
        """(N,) place among the others of the row about the same question, -1 where there is none; sample and question are told by a 64-bit hash."""
        mine, theirs = (rows._store.array("keys")[rows._at] for rows in (self, others))
        if not len(theirs):
            return np.full(len(mine), -1)
        order = np.argsort(theirs, kind="stable")
        found = order[np.maximum(np.searchsorted(theirs[order], mine, side="right") - 1, 0)]
        return np.where(theirs[found] == mine, found, -1)

    def most_common(self) -> int:
        """How many of the rows a constant answer gets right, at best."""
        return int(np.bincount(self._codes("reference")).max(initial=0))

    def _codes(self, name: str) -> np.ndarray:
        return self._store.array(name)[self._at]
