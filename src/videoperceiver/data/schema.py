"""The manifest's schema, and `types.Sample` to rows of it and back.

Version 2; version 1, which had no `frame_fps`, is read as well. Parquet carries the version in its metadata and the texts below in its fields:

    id            string                 unique within the manifest
    video         string                 media path relative to the manifest's folder, `/` as separator; an image file is one picture, "" text alone
    sha256        string                 of the media file's bytes (of the sorted frame files' bytes for an image folder)
    split         string                 train, validation or test
    source        string                 the dataset it came from
    t_s           list<double>           presentation times of the frames of V, source seconds, strictly increasing
    caption       string                 what happens, in words; may be empty
    questions     list<struct>           id, text, answer, kind, family, options: list<string>, static: bool
    keywords      list<string>           event/action phrases
    spans         list<struct>           annotated events: start_s, end_s: double, label: string
    scores        list<double>           (T,) keyword relevance, or empty
    keyframes_idx list<int32>            frames that carry the event
    degradation   struct or null         operator, source_idx: list<int32>, seed: int64, residual, change: double or null, removed: bool or null
    event_share   struct or null         share of frames inside events: before, after sparsification: double
    seed          int64                  the seed its random choices derive from
    tags          map<string, string>    free labels for slicing results
    frame_fps     double or null         images a second where `video` is a folder of images

A row is the JSON form of a sample: dicts, lists, str, int, float, bool, None. Both file formats pass through Arrow, which checks every type.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from videoperceiver.errors import ManifestError
from videoperceiver.types import Degradation, Question, Sample, Span

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2
_ADDED: dict[str, frozenset[str]] = {"1": frozenset({"frame_fps"}), "2": frozenset()}
"""Version -> the columns it has not yet; their defaults stand in for them."""
VERSION_KEY = b"videoperceiver.schema_version"
_NESTED: dict[str, type] = {"questions": Question, "spans": Span, "degradation": Degradation}


@lru_cache(maxsize=1)
def arrow_schema() -> "pa.Schema":
    """The Arrow schema of this version; the order of the columns is that of `Sample`'s fields."""
    import pyarrow as pa

    text, real, integer = pa.string(), pa.float64(), pa.int32()
    types: dict[str, pa.DataType] = {
        **dict.fromkeys(("id", "video", "sha256", "split", "source", "caption"), text),
        "t_s": pa.list_(real),
        "questions": pa.list_(
            pa.struct({"id": text, "text": text, "answer": text, "kind": text, "family": text, "options": pa.list_(text), "static": pa.bool_()})
        ),
        "keywords": pa.list_(text),
        "spans": pa.list_(pa.struct({"start_s": real, "end_s": real, "label": text})),
        "scores": pa.list_(real),
        "keyframes_idx": pa.list_(integer),
        "degradation": pa.struct(
            {"operator": text, "source_idx": pa.list_(integer), "seed": pa.int64(), "residual": real, "change": real, "removed": pa.bool_()}
        ),
        "event_share": pa.struct({"before": real, "after": real}),
        "seed": pa.int64(),
        "tags": pa.map_(text, text),
        "frame_fps": real,
    }
    docs = _field_docs()
    columns = [pa.field(field.name, types[field.name], metadata={"doc": docs[field.name]}) for field in fields(Sample)]
    return pa.schema(columns, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


def _field_docs() -> dict[str, str]:
    """Field name -> its line in this module's docstring, so that the file and this page cannot differ."""
    names = {field.name for field in fields(Sample)}
    lines = [line.split(maxsplit=1) for line in (__doc__ or "").splitlines() if line.startswith("    ")]
    return {name: " ".join(text.split()) for name, text in lines if name in names}


def check_version(version: object, path: object) -> None:
    """Raises ManifestError unless `version` is one that this release reads."""
    if str(version) not in _ADDED:
        raise ManifestError(f"{path}: schema version {version}, this release reads versions {', '.join(_ADDED)}; rebuild the manifest with this release")


def check_columns(found: "pa.Schema", version: object, path: object) -> None:
    """Raises ManifestError unless a file's columns are those of its version."""
    import pyarrow as pa

    expected = pa.schema([column for column in arrow_schema() if column.name not in _ADDED[str(version)]])
    if not found.equals(expected):
        raise ManifestError(f"{path}: its columns differ from schema version {version}; got {found.names}, expected {expected.names}")


def to_row(sample: Sample) -> dict[str, Any]:
    """A sample as a row."""
    row = {**vars(sample), "tags": dict(sample.tags)}  # not `asdict`, which copies number by number
    row["questions"] = [dict(vars(question)) for question in sample.questions]
    row["spans"] = [dict(vars(span)) for span in sample.spans]
    if sample.degradation is not None:
        row["degradation"] = dict(vars(sample.degradation))
    if sample.event_share is not None:
        row["event_share"] = {"before": sample.event_share[0], "after": sample.event_share[1]}
    return row


def from_row(row: Mapping[str, Any]) -> Sample:
    """A row, as Arrow returns it, as a sample; equal to the one it was made from."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    values["questions"] = tuple(Question(**{**item, "options": tuple(item["options"])}) for item in row["questions"])
    values["spans"] = tuple(Span(**item) for item in row["spans"])
    if degradation := row["degradation"]:
        values["degradation"] = Degradation(**{**degradation, "source_idx": tuple(degradation["source_idx"])})
    if share := row["event_share"]:
        values["event_share"] = (share["before"], share["after"])
    values["tags"] = dict(row["tags"])
    return Sample(**values)


def to_batch(rows: Sequence[Mapping[str, Any]], where: str) -> "pa.RecordBatch":
    """Rows as one Arrow batch.

    Raises:
        ManifestError: a value of the wrong type; the message names the row by its id.
    """
    import pyarrow as pa

    try:
        return pa.RecordBatch.from_pylist([{**row, "tags": list(row["tags"].items())} for row in rows], schema=arrow_schema())
    except (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError) as error:
        if len(rows) > 1:
            for row in rows:
                to_batch([row], where)
        raise ManifestError(f"{where}: sample {rows[0].get('id')!r} holds a value of the wrong type ({error}); see videoperceiver.data.schema") from error


def complete(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A row from outside with its optional fields filled in.

    Raises:
        ManifestError: an unknown name, a missing required one, or a null where none may be; nested records too.
    """
    filled = _complete_record(row, Sample, where)
    for name, record in _NESTED.items():
        value = filled[name]
        if isinstance(value, Sequence) and not isinstance(value, str):
            filled[name] = [_complete_record(item, record, f"{where}: {name}") for item in value]
        elif value is not None:
            filled[name] = _complete_record(value, record, f"{where}: {name}")
    return filled


def _complete_record(row: object, record: type, where: str) -> dict[str, Any]:
    known = _known(record)
    if not isinstance(row, dict):
        raise ManifestError(f"{where}: got {row!r}, expected an object with {', '.join(known)}")
    if unknown := row.keys() - known.keys():
        raise ManifestError(f"{where}: unknown field {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    filled = {name: default() if (value := row.get(name)) is None else value for name, default in known.items()}
    if missing := [name for name, value in filled.items() if value is MISSING]:
        raise ManifestError(f"{where}: required field {', '.join(missing)} is missing or null")
    return filled


@lru_cache(maxsize=8)
def _known(record: type) -> dict[str, Callable[[], Any]]:
    """Field name -> what makes its default; MISSING for a required one."""
    return {f.name: f.default_factory if f.default_factory is not MISSING else partial(_same, f.default) for f in fields(record)}


def _same(value: object) -> object:
    return value
