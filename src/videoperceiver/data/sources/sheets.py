"""Rows of a sheet by their header: .csv, .jsonl, .json, .parquet, and .xls or .xlsx with the extra `sources`."""

import csv
import importlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from videoperceiver.errors import ManifestError, MissingExtraError

_CHUNK = 2**16
SUFFIXES = (".csv", ".jsonl", ".json", ".parquet", ".xlsx", ".xls")


def rows_of(path: Path, sheet: str | None = None) -> Iterator[dict[str, Any]]:
    """Rows as dicts of what the file holds; keys are stripped, empty rows left out.

    Args:
        path: ends in one of `SUFFIXES`.
        sheet: of a workbook; None: its first.

    Raises:
        ManifestError: not there, not readable, or of another kind.
        MissingExtraError: a workbook, without its reader.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ManifestError(f"{path}: a table ends in {', '.join(SUFFIXES)}, got {path.suffix!r}")
    try:
        rows = _workbook(path, sheet) if suffix in (".xls", ".xlsx") else readers[suffix](path)
        for row in rows:
            if any(value not in (None, "") for value in row.values()):
                yield {str(key).strip(): value for key, value in row.items() if key is not None}
    except (OSError, ValueError, csv.Error) as error:
        raise ManifestError(f"{path}: cannot be read as {suffix} ({type(error).__name__}: {error}); fetch it again or correct it") from error


def read_json(path: Path) -> Any:
    """A JSON file. Raises ManifestError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: cannot be read as JSON ({type(error).__name__}: {error}); fetch it again or correct the path") from error


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _record(json.loads(line), f"line {number}")


def _json(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of an array, one after the other: half a million rows need not be held at once."""
    decode, number = json.JSONDecoder().raw_decode, 0
    with path.open(encoding="utf-8") as file:
        text, is_end = file.read(_CHUNK).lstrip(), False
        if not text.startswith("["):
            raise ValueError("expected an array of objects")
        text = text[1:].lstrip()
        while not text.startswith("]"):
            try:
                row, used = decode(text)
            except json.JSONDecodeError:
                if is_end:
                    raise
                more = file.read(max(_CHUNK, len(text)))
                text, is_end = text + more, not more
                continue
            number += 1
            yield _record(row, f"row {number}")
            text = text[used:].lstrip()
            if len(text) < _CHUNK // 2:
                text = (text + file.read(_CHUNK)).lstrip()
            if not text.startswith((",", "]")):
                raise ValueError(f"expected a comma or the end of the array after row {number}")
            text = text.removeprefix(",").lstrip()


def _record(row: object, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"{where} is no object")
    return row


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _workbook(path: Path, sheet: str | None) -> Iterator[dict[str, Any]]:
    """Values are text or numbers as the sheet's cells hold them; formulas are not calculated."""
    package = "openpyxl" if path.suffix.lower() == ".xlsx" else "xlrd"
    try:
        reader = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(package, "sources", f"the sheet {path.name}") from error
    with ExitStack() as closing:
        if package == "openpyxl":
            book = reader.load_workbook(path, read_only=True)
            closing.callback(book.close)
            names, table = book.sheetnames, lambda name: book[name].iter_rows(values_only=True)
        else:
            book = reader.open_workbook(str(path))
            names, table = book.sheet_names(), lambda name: (book.sheet_by_name(name).row_values(i) for i in range(book.sheet_by_name(name).nrows))
        name = sheet if sheet is not None else names[0]
        if name not in names:
            raise ValueError(f"no sheet {name!r}; it has {', '.join(names)}")
        rows = iter(table(name))
        header = next(rows, ())
        for row in rows:
            yield dict(zip(header, row, strict=False))
