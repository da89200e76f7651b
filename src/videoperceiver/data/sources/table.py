"""A table of clips: .csv, .jsonl, .json, .parquet or a workbook; media paths are relative to its folder.

Columns: `video` (required; a file, or a folder of images), `caption`, `split`, `start`, `end`, `label` (an event, seconds), `question`, `answer`, `kind`,
`frame_fps`.
One row an event or a question: rows of one video are gathered, and the first caption and split that are not empty hold.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from videoperceiver.data.manifest import SPLITS
from videoperceiver.data.media import Media
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request
from videoperceiver.data.sources.gather import gather
from videoperceiver.data.sources.sheets import SUFFIXES, rows_of
from videoperceiver.errors import ManifestError
from videoperceiver.types import Question, QuestionKind, Sample, Span

COLUMNS = ("video", "caption", "split", "start", "end", "label", "question", "answer", "kind", "frame_fps")


def clips(request: Request, notes: Notes) -> Clips:
    """The clips that a table names.

    Raises:
        ManifestError: an unknown or missing column, a cell that cannot be read, or a path that leaves the folder.
    """
    if request.root.is_dir():
        raise ManifestError(f"{request.root}: is a folder; name the table ({', '.join(SUFFIXES)})")
    for video, rows in gather(_rows(request.root), request.work):
        path = request.root.parent / video
        if path.exists():
            yield _sample(video, [(where, row) for where, row in rows], request), Media(str(path))
        else:
            notes.leave_out("not there", video)


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    """Each row with where it stands, by its video."""
    for number, cells in enumerate(rows_of(file), start=2):
        where = f"{file}, row {number}"
        row = {name: value for name, value in cells.items() if value not in (None, "")}
        if unknown := row.keys() - set(COLUMNS):
            raise ManifestError(f"{where}: unknown column {sorted(unknown)[0]!r}; known are {', '.join(COLUMNS)}")
        video = PurePosixPath(str(row.get("video", "")))
        if not video.parts or video.is_absolute() or ".." in video.parts:
            raise ManifestError(f"{where}: video is {row.get('video')!r}, expected a path below {file.parent}")
        yield video.as_posix(), (where, row)


def _sample(video: str, rows: list[tuple[str, dict[str, Any]]], request: Request) -> Sample:
    first: dict[str, Any] = {}
    for _, row in rows:
        first = {**row, **first}
    spans = tuple(_span(row, where) for where, row in rows if "start" in row or "end" in row)
    questions = tuple(_question(row, str(i), where) for i, (where, row) in enumerate(rows) if "question" in row)
    split, is_folder = str(first.get("split", request.split)), (request.root.parent / video).is_dir()
    if split not in SPLITS:
        raise ManifestError(f"{rows[0][0]}: split is {split!r}, expected one of {', '.join(SPLITS)}")
    frame_fps = _real(first, "frame_fps", rows[0][0]) if "frame_fps" in first else request.frame_fps
    caption = str(first.get("caption", ""))
    return Sample(video, video, "", split, "table", (), caption, questions, spans=spans, frame_fps=frame_fps if is_folder else None)


def _span(row: dict[str, Any], where: str) -> Span:
    start_s, end_s = _real(row, "start", where), _real(row, "end", where)
    if not 0 <= start_s <= end_s:
        raise ManifestError(f"{where}: an event from {start_s} to {end_s} s; expected 0 <= start <= end")
    return Span(start_s, end_s, str(row.get("label", "")))


def _question(row: dict[str, Any], name: str, where: str) -> Question:
    kind = row.get("kind", "open")
    if kind not in get_args(QuestionKind) or "answer" not in row:
        raise ManifestError(f"{where}: a question needs an answer and a kind of {', '.join(get_args(QuestionKind))}; got kind {kind!r}")
    return Question(name, str(row["question"]), str(row["answer"]), kind, str(kind))


def _real(row: dict[str, Any], name: str, where: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{where}: column {name!r} holds {row.get(name)!r}, expected a number of seconds (or images a second)") from error


SOURCES = (DataSource("table", "", f"rows with {', '.join(COLUMNS)} whose videos are there", clips),)
