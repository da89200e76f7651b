"""Video-R1-260k and Video-R1-CoT-165k (https://huggingface.co/datasets/Video-R1/Video-R1-data): rows of questions over videos of many data sets.

    ROOT/Video-R1-COT-165k.json, or the file itself; `path` of a row is relative to its folder

Rows about pictures or text alone are left out here: stage 0 looks for events, and they have none (the mixture takes them as they are). Questions
over one video are gathered. STAR, PerceptionTest, CLEVRER and NeXT-QA are among its sources, from which much of MVBench and TVBench was made: what
is trained on it is not out of domain there.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from videoperceiver.data.sources.base import DataSource, Found, Request, require_clips, seeded
from videoperceiver.data.sources.sheets import rows_of
from videoperceiver.errors import ManifestError
from videoperceiver.types import Question, QuestionKind, Sample

TERMS = "Video-R1-data: Apache-2.0 by its card; the data sets it draws on keep their own terms"
_KINDS: dict[str, QuestionKind] = {"multiple choice": "choice", "numerical": "number", "regression": "number", "OCR": "open", "free-form": "open"}


def find(request: Request) -> Found:
    """Videos with their questions.

    Raises:
        ManifestError: no file of rows, or no row about a video that is there.
    """
    file = request.root if request.root.is_file() else next(iter(sorted(request.root.glob("Video-R1-*.json"))), None)
    if file is None:
        raise ManifestError(f"{request.root}: no Video-R1-*.json in it; name the file or the folder that holds it")
    found, rows, aside, missing = Found(), {}, [], {}
    for number, row in enumerate(rows_of(file), start=1):
        name = str(row.get("problem_id", number))
        question = _question(row)
        path = PurePosixPath(str(row.get("path", "")))
        if row.get("data_type") != "video" or question is None or path.is_absolute() or ".." in path.parts:
            aside.append(name)
        elif not (file.parent / path).is_file():
            missing[path.as_posix()] = None
        else:
            rows.setdefault(path, (row, {}))[1].setdefault(question.id, question)
    found.leave_out("not about a video below the file, or of an unknown kind", aside)
    found.leave_out("not there", list(missing))
    found.clips = seeded([(_sample(path, row, tuple(asked.values()), request), file.parent / path) for path, (row, asked) in rows.items()], request.seed)
    return require_clips(found, file, "rows with problem, problem_type, solution and the path of a video below this file")


def _question(row: dict[str, Any]) -> Question | None:
    kind, answer = _KINDS.get(str(row.get("problem_type"))), re.search(r"<answer>(.*?)</answer>", str(row.get("solution", "")), re.DOTALL)
    problem, options = str(row.get("problem", "")).strip(), tuple(str(option) for option in row.get("options") or ())
    if kind is None or answer is None or not problem or (kind == "choice" and len(options) < 2):
        return None
    text = "\n".join((problem, *options)) if kind == "choice" else problem
    return Question(str(row.get("problem_id")), text, answer[1].strip(), kind, str(row.get("problem_type")), options if kind == "choice" else ())


def _sample(path: PurePosixPath, row: dict[str, Any], questions: tuple[Question, ...], request: Request) -> Sample:
    name = Path(path).as_posix()
    return Sample(name, name, "", request.split, "video_r1", (), questions=questions, tags={"data_source": str(row.get("data_source", ""))})


SOURCES = (DataSource("video_r1", TERMS, find),)
