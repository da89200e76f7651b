"""HMDB51 (https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/): a folder a class, and its three official splits.

    ROOT/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
    ROOT/**/brush_hair_test_split1.txt        lines "NAME.avi 1": 1 train, 2 test, 0 unused

The class is the caption; the action fills the clip, so there are no spans. There is no validation split.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from videoperceiver.data.sources.base import DataSource, Found, Request, require_clips, seeded
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample

TERMS = "HMDB51: CC BY 4.0 (Kuehne et al., ICCV 2011)"
CLIPS, TRAIN, TEST = 6_766, 3_570, 1_530
"""Counted in the release; the paper's 6,849 is not what is in it."""
_NAME = re.compile(r".+_([hulf])_(cm|nm)_np\d+_(fr|ba|le|ri)_(goo|med|bad)_\d+\.avi")
_SPLITS = {"1": "train", "2": "test", "0": None}


def find(request: Request, *, number: int = 1) -> Found:
    """Clips of one official split, 1 to 3; those it leaves unused are left out.

    Raises:
        ManifestError: no split files, a malformed line, or no clip.
    """
    lists = sorted(request.root.rglob(f"*_test_split{number}.txt"))
    if not lists:
        raise ManifestError(f"{request.root}: no *_test_split{number}.txt below it; unpack the official test_train_splits beside the class folders")
    found, missing, odd = Found(), [], []
    for file in lists:
        label = file.name.removesuffix(f"_test_split{number}.txt")
        for name, split in _rows(file):
            path = request.root / label / name
            if split is None:
                continue
            if not path.is_file():
                missing.append(f"{label}/{name}")
                continue
            if not _NAME.fullmatch(name):
                odd.append(name)
            words = label.replace("_", " ")
            video = f"{label}/{name}"
            found.clips.append((Sample(video, video, "", split, "hmdb51", (), words, tags={"class": label}), path))
    found.compare("train clips", sum(sample.split == "train" for sample, _ in found.clips), TRAIN)
    found.compare("test clips", sum(sample.split == "test" for sample, _ in found.clips), TEST)
    found.compare("clips on disk", sum(1 for _ in request.root.glob("*/*.avi")), CLIPS)
    found.leave_out("listed but not there", missing)
    if odd:
        found.notes.append(f"names not of the release's pattern: {', '.join(odd[:3])}")
    found.clips = seeded(found.clips, request.seed)
    return require_clips(found, request.root, "CLASS/NAME.avi as listed in the split files")


def _rows(file: Path) -> list[tuple[str, str | None]]:
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, tag = line.strip().rpartition(" ")
        if line.strip() and (tag not in _SPLITS or "/" in name or not name):
            raise ManifestError(f"{file}:{number}: got {line!r}, expected 'NAME.avi TAG' with a tag of 0, 1 or 2")
        if line.strip():
            rows.append((name.strip(), _SPLITS[tag]))
    return rows


def _of(number: int) -> Callable[[Request], Found]:
    return partial(find, number=number)


SOURCES = tuple(DataSource(f"hmdb51-{number}", TERMS, _of(number)) for number in (1, 2, 3))
