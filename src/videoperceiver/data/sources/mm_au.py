"""MM-AU (https://github.com/jeffreychou777/LOTVS-MM-AU): dash-cam accidents as folders of frames, with the sheets of CAP and of DADA-2000.

    ROOT/cap_text_annotations.xls             sheet "annotation file"
    ROOT/dada_text_annotations.xlsx           sheet "Sheet1"
    ROOT/CAP-DATA/{1-10|11|12-42|43|44-62}/TYPE/000001/images/000001.jpg
    ROOT/DADA-DATA/TYPE/001/images/0001.png

The sheets order their columns differently, so they are read by header; a .csv export of a sheet under the same name will do. Frames are counted
from 1, and nothing says how many there are a second (30 is doubtful: 1,350 clips have exactly 50), so `frame_fps` must be given. The event is the
stretch from abnormal start to abnormal end; the tag `accident_s` is the moment of the accident, absent where the sheet has -1.
"""

import re
from pathlib import Path
from typing import Any

from videoperceiver.data.media import Media
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request, number_of
from videoperceiver.data.sources.sheets import rows_of
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span
from videoperceiver.video.track import IMAGE_SUFFIXES

TERMS = "MM-AU: free for academic use only; ask lotvsmmau@gmail.com for anything else (Fang et al., CVPR 2024)"
SHEETS = {"cap": ("cap_text_annotations", "annotation file", 9_768), "dada": ("dada_text_annotations", "Sheet1", 1_962)}
"""Part -> sheet's file name without suffix, the sheet in it, published rows."""
_CAP_FOLDERS = ((10, "1-10"), (11, "11"), (42, "12-42"), (43, "43"), (62, "44-62"))


def clips(request: Request, notes: Notes) -> Clips:
    """Clips of the parts whose sheet is there.

    Raises:
        ManifestError: no rate given, or a malformed row.
    """
    if not request.frame_fps:
        raise ManifestError(f"{request.root}: MM-AU's clips are folders of frames and nothing states their rate; set frame_fps (30 is usual and doubtful)")
    for part, (stem, sheet, published) in SHEETS.items():
        file = next((path for suffix in (".xls", ".xlsx", ".csv") if (path := request.root / f"{stem}{suffix}").is_file()), None)
        if file is None:
            notes.say(f"no sheet {stem}: the part {part.upper()} is left out")
            continue
        count = 0
        for count, row in enumerate(rows_of(file, sheet), start=1):
            where = f"{file}, row {count + 1}"
            place = media_of(part, row, where)
            path = request.root / place
            if not path.is_dir():
                notes.leave_out("not there", place.as_posix())
                continue
            total, there = number_of(row, "total frames", where), sum(image.suffix.lower() in IMAGE_SUFFIXES for image in path.iterdir())
            if there < total:
                notes.leave_out("half unpacked", f"{place.as_posix()} ({there} of {total} frames)")
                continue
            yield _sample(part, row, place, request, where), Media(str(path))
        notes.compare(f"rows in {file.name}", count, published)


def media_of(part: str, row: dict[str, Any], where: str) -> Path:
    """A row's folder of frames, relative to the root."""
    kind, video = number_of(row, "type", where), number_of(row, "video", where)
    if part == "dada":
        return Path(f"DADA-DATA/{kind}/{video:03d}/images")
    folder = next((name for last, name in _CAP_FOLDERS if kind <= last), None)
    if folder is None:
        raise ManifestError(f"{where}: accident type {kind}, expected 1 to 62; fetch the sheet again")
    return Path(f"CAP-DATA/{folder}/{kind}/{video:06d}/images")


def _sample(part: str, row: dict[str, Any], path: Path, request: Request, where: str) -> Sample:
    fps = request.frame_fps or 0.0
    start, accident, end, total = (number_of(row, name, where) for name in ("abnormal start frame", "accident frame", "abnormal end frame", "total frames"))
    if not 0 <= start <= end <= total or not (accident == -1 or start <= accident <= end):
        raise ManifestError(f"{where}: frames {start}, {accident}, {end} of {total}; expected start <= accident <= end <= total (accident -1: unknown)")
    text, cause = clean(row.get("texts")), clean(row.get("causes"))
    happened = number_of(row, "whether an accident occurred (1/0)", where) == 1
    tags = {"type": str(number_of(row, "type", where)), "part": part}
    if accident != -1:
        tags["accident_s"] = f"{_seconds(accident, fps):.3f}"
    spans = (Span(_seconds(start, fps), _seconds(end, fps), text),) if happened else ()
    name, caption = path.as_posix(), ". ".join(part for part in (text, cause) if part)
    return Sample(name, name, "", request.split, "mm_au", (), caption, spans=spans, tags=tags, frame_fps=fps)


def _seconds(frame: int, fps: float) -> float:
    """When frame number `frame`, counted from 1, is shown."""
    return max(frame - 1, 0) / fps


def clean(text: object) -> str:
    """A cell without its tokens and non-breaking spaces."""
    return " ".join(re.sub(r"\[(CLS|SEP)\]", " ", str(text or "").replace("\xa0", " ")).split())


SOURCES = (DataSource("mm_au", TERMS, "cap_text_annotations.xls with CAP-DATA/, or dada_text_annotations.xlsx with DADA-DATA/", clips),)
