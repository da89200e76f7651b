"""Manifests on disk: rows of `types.Sample` in Parquet or JSONL, without pixels and without loss (schema: `data/schema.py`).

JSONL carries the schema version in its first line, `{"schema_version": 1}`, then one object a line; Parquet in its metadata. Rows stream in both
directions. A media path that is absolute or climbs out by `..` is refused on write and on read, one that leaves through a symlink when it is resolved;
`allow_outside=True` lifts all three.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from math import inf, isfinite
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_args

from videoperceiver.data.schema import SCHEMA_VERSION, VERSION_KEY, arrow_schema, check_columns, check_version, complete, from_row, to_batch, to_row
from videoperceiver.data.seen import Seen
from videoperceiver.errors import ManifestError
from videoperceiver.types import BLANK, Question, QuestionKind, Sample

SPLITS = ("train", "validation", "test")
_BATCH_ROWS = 256
_GROUP_ROWS = 1024
"""Rows a row group: what Parquet says of each group is held until the file is closed."""
_Item = TypeVar("_Item")


class Manifest:
    """A manifest on disk, read row by row.

    Args:
        path: a `.parquet` or `.jsonl` file.
        allow_outside: accept media paths that leave the manifest's folder.

    Raises:
        ManifestError: the file is missing, malformed, of another schema version, holds an invalid row, an id twice, or a path outside its root.
    """

    def __init__(self, path: str | os.PathLike[str], *, allow_outside: bool = False):
        self.path = Path(path)
        self.allow_outside = allow_outside
        _suffix(self.path)

    @property
    def root(self) -> Path:
        """The folder that media paths are relative to."""
        return self.path.parent

    def __iter__(self) -> Iterator[Sample]:
        """Rows in file order, in bounded memory (ids are remembered to be unique)."""
        rows = _read_parquet(self.path) if _suffix(self.path) == ".parquet" else _read_jsonl(self.path)
        seen = Seen()
        for row in rows:
            sample = from_row(row)
            _check(sample, seen, self.path, self.allow_outside)
            yield sample

    def resolve(self, sample: Sample) -> Path:
        """The media path of a row of this manifest; it need not exist. Raises as `resolve` does."""
        return resolve(self.path, sample, allow_outside=self.allow_outside)


def read(path: str | os.PathLike[str], *, allow_outside: bool = False) -> list[Sample]:
    """All rows of a manifest; iterate a `Manifest` where they may not fit in memory. Raises as `Manifest` does."""
    return list(Manifest(path, allow_outside=allow_outside))


def write(samples: Iterable[Sample], path: str | os.PathLike[str], *, allow_outside: bool = False) -> int:
    """Write a manifest as Parquet or JSONL, by suffix; the file appears whole or not at all.

    Returns:
        The number of rows.

    Raises:
        ManifestError: an invalid row, an id twice, a path outside the root, or a folder that cannot be written.
    """
    target = Path(path)
    save = _write_parquet if _suffix(target) == ".parquet" else _write_jsonl
    seen = Seen()

    def checked() -> Iterator[Sample]:
        for sample in samples:
            _check(sample, seen, target, allow_outside)
            yield sample

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written ({error}); choose a folder that exists and is writable") from error
    temporary = Path(name)
    try:
        save(checked(), temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written ({error}); free space or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(seen)


def resolve(path: str | os.PathLike[str], sample: Sample, *, allow_outside: bool = False) -> Path:
    """The media path of `sample`, a row of the manifest at `path`; the media need not exist.

    Raises:
        ManifestError: it leaves the manifest's folder, be it through a symlink or a loop of them.
    """
    root = Path(path).parent
    media = root / sample.video
    if allow_outside:
        return media
    _check_path(sample, path)
    try:
        target = media.resolve()
        inside = target.is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a symlink loop, on Python below 3.13
        raise ManifestError(f"{path}: sample {sample.id!r}: media path {sample.video!r} cannot be resolved ({error}); expected a file below {root}") from error
    if not inside:
        raise ManifestError(
            f"{path}: sample {sample.id!r}: media path {sample.video!r} leads to {target}, outside {root}; "
            "move the media below the manifest or pass allow_outside=True"
        )
    return media


def _check_path(sample: Sample, where: str | os.PathLike[str]) -> None:
    parts = PurePosixPath(sample.video)
    if not sample.video or "\0" in sample.video or parts.is_absolute() or ".." in parts.parts:
        raise ManifestError(
            f"{where}: sample {sample.id!r} names the media path {sample.video!r}; expected a path relative to the manifest's folder and below it "
            "(move the media there or pass allow_outside=True)"
        )


def _check(sample: Sample, seen: Seen, path: Path, allow_outside: bool) -> None:
    """Refuse a row that would mislead a later stage, and remember its id."""
    if not sample.id or not seen.add(sample.id):
        raise ManifestError(f"{path}: the id {sample.id!r} occurs twice or is empty; give every sample an id of its own")
    if not allow_outside and (sample.video or sample.t_s):  # else a row of text alone
        _check_path(sample, path)
    for problem in _problems(sample):
        raise ManifestError(f"{path}: sample {sample.id!r}: {problem}; correct the row or leave it out")


def _problems(sample: Sample) -> Iterator[str]:
    num_frames = len(sample.t_s)
    if sample.media != "video" and (num_frames != (sample.media == "image") or sample.degradation is not None):
        shown = "no video has no t_s" if sample.media == "none" else "a picture has one time in t_s"
        yield f"a row with {shown} and no degradation; got {num_frames} times and {'a' if sample.degradation else 'no'} degradation"
    if sample.split not in SPLITS:
        yield f"split is {sample.split!r}, expected one of {', '.join(SPLITS)}"
    if not all(map(isfinite, (*sample.t_s, *sample.scores))):
        yield "t_s and scores hold a number that is not finite"
    if any(b <= a for a, b in pairwise(sample.t_s)):
        yield "t_s is not strictly increasing"
    if sample.scores and len(sample.scores) != num_frames:
        yield f"scores has {len(sample.scores)} entries, expected none or one for each of the {num_frames} frames"
    if any(not 0 <= i < num_frames for i in sample.keyframes_idx):
        yield f"keyframes_idx leaves 0..{num_frames - 1}"
    if any(not span.start_s <= span.end_s for span in sample.spans):
        yield "a span ends before it starts"
    if sample.frame_fps is not None and not 0 < sample.frame_fps < inf:
        yield f"frame_fps is {sample.frame_fps}, expected images a second for a folder of images, or null for a video file"
    yield from _question_problems(sample.questions)
    if sample.degradation is not None:
        source_idx = sample.degradation.source_idx
        if len(source_idx) != num_frames or any(j != BLANK and not 0 <= j < num_frames for j in source_idx):
            yield f"degradation.source_idx must hold one index in 0..{num_frames - 1} (or {BLANK} for blank) for each of the {num_frames} frames"


def _question_problems(questions: Sequence[Question]) -> Iterator[str]:
    if len({question.id for question in questions}) != len(questions):
        yield "two questions share an id"
    kinds = get_args(QuestionKind)
    for question in questions:
        if question.kind not in kinds:
            yield f"question {question.id!r} is of kind {question.kind!r}, expected one of {', '.join(kinds)}"


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".jsonl"):
        raise ManifestError(f"{path}: a manifest ends in .parquet or .jsonl, got {path.suffix!r}")
    return suffix


def _write_parquet(samples: Iterable[Sample], path: Path) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, arrow_schema(), compression="zstd") as writer:
        for chunk in _chunks(samples, _GROUP_ROWS):
            writer.write_batch(to_batch([to_row(sample) for sample in chunk], str(path)))


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: not a readable Parquet file ({error}); rebuild the manifest or correct the path") from error
    with file:
        version = (file.schema_arrow.metadata or {}).get(VERSION_KEY, b"none").decode(errors="replace")
        check_version(version, path)
        check_columns(file.schema_arrow, version, path)
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from (complete(row, str(path)) for row in batch.to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise ManifestError(f"{path}: damaged after its header ({error}); rebuild the manifest") from error


def _write_jsonl(samples: Iterable[Sample], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"schema_version": SCHEMA_VERSION}) + "\n")
        for sample in samples:
            row = to_row(sample)
            to_batch([row], str(path))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error}); correct the path") from error
    with file:
        header = _json_object(file.readline(), f"{path}:1")
        if set(header) != {"schema_version"}:
            raise ManifestError(f'{path}:1: the first line must be {{"schema_version": {SCHEMA_VERSION}}}, got an object with {sorted(header)}')
        check_version(header["schema_version"], path)
        for chunk in _chunks(enumerate(_lines(file, path), start=2)):
            rows = [complete(_json_object(line, f"{path}:{number}"), f"{path}:{number}") for number, line in chunk if line.strip()]
            yield from to_batch(rows, str(path)).to_pylist()


def _lines(file: Iterable[str], path: Path) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{where}: not JSON ({error}); expected one object a line") from error
    if not isinstance(value, dict):
        raise ManifestError(f"{where}: got {type(value).__name__}, expected a JSON object")
    return value


def _chunks(items: Iterable[_Item], size: int = _BATCH_ROWS) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
