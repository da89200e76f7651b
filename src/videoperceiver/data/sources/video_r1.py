"""Video-R1-260k and Video-R1-CoT-165k (https://huggingface.co/datasets/Video-R1/Video-R1-data): rows of questions over videos of many data sets.

    ROOT/Video-R1-COT-165k.json, or the file itself; `path` of a row is relative to its folder

Rows about pictures or text alone are left out here: stage 0 looks for events, and they have none (the mixture takes them as they are). Questions
over one video are gathered. STAR, PerceptionTest, CLEVRER and NeXT-QA are among its sources, from which much of MVBench and TVBench was made: what
is trained on it is not out of domain there.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from videoperceiver.data.media import Media
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request
from videoperceiver.data.sources.gather import gather
from videoperceiver.data.sources.sheets import rows_of
from videoperceiver.errors import ManifestError
from videoperceiver.types import Question, QuestionKind, Sample

TERMS = "Video-R1-data: Apache-2.0 by its card; the data sets it draws on keep their own terms"
_COLUMNS = ("problem_id", "problem", "problem_type", "options", "solution", "data_source")
_KINDS: dict[str, QuestionKind] = {"multiple choice": "choice", "numerical": "number", "regression": "number", "OCR": "open", "free-form": "open"}


def clips(request: Request, notes: Notes) -> Clips:
    """Videos with their questions.

    Raises:
        ManifestError: no file of rows, or one that cannot be read.
    """
    file = request.root if request.root.is_file() else next(iter(sorted(request.root.glob("Video-R1-*.json"))), None)
    if file is None:
        raise ManifestError(f"{request.root}: no Video-R1-*.json in it; name the file or the folder that holds it")
    for name, rows in gather(_rows(file, notes), request.work):
        path = file.parent / name
        if not path.is_file():
            notes.leave_out("not there", name)
            continue
        asked = {question.id: question for question in map(_question, reversed(rows)) if question is not None}  # of two with one id the first
        tags = {"data_source": str(rows[0].get("data_source", ""))}
        yield Sample(name, name, "", request.split, "video_r1", (), questions=tuple(reversed(asked.values())), tags=tags), Media(str(path))


def _rows(file: Path, notes: Notes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows about videos, by the video's path."""
    for number, row in enumerate(rows_of(file), start=1):
        row.setdefault("problem_id", number)
        path = PurePosixPath(str(row.get("path", "")))
        if row.get("data_type") != "video" or _question(row) is None or path.is_absolute() or ".." in path.parts:
            notes.leave_out("not about a video below the file, or of an unknown kind", str(row["problem_id"]))
        else:
            yield path.as_posix(), {name: row.get(name) for name in _COLUMNS}


def _question(row: dict[str, Any]) -> Question | None:
    kind, answer = _KINDS.get(str(row.get("problem_type"))), re.search(r"<answer>(.*?)</answer>", str(row.get("solution", "")), re.DOTALL)
    problem, options = str(row.get("problem", "")).strip(), tuple(str(option) for option in row.get("options") or ())
    if kind is None or answer is None or not problem or (kind == "choice" and len(options) < 2):
        return None
    text = "\n".join((problem, *options)) if kind == "choice" else problem
    return Question(str(row.get("problem_id")), text, answer[1].strip(), kind, str(row.get("problem_type")), options if kind == "choice" else ())


SOURCES = (DataSource("video_r1", TERMS, "rows with problem, problem_type, solution and the path of a video below this file", clips),)
