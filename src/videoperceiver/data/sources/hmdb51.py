"""HMDB51 (https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/): a folder a class, and its three official splits.

    ROOT/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
    ROOT/**/brush_hair_test_split1.txt        lines "NAME.avi 1": 1 train, 2 test, 0 unused

The class is the caption; the action fills the clip, so there are no spans. There is no validation split.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from videoperceiver.data.media import Media
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample

TERMS = "HMDB51: CC BY 4.0 (Kuehne et al., ICCV 2011)"
CLIPS, TRAIN, TEST = 6_766, 3_570, 1_530
"""Counted in the release; the paper's 6,849 is not what is in it."""
_NAME = re.compile(r".+_([hulf])_(cm|nm)_np\d+_(fr|ba|le|ri)_(goo|med|bad)_\d+\.avi")
_SPLITS = {"1": "train", "2": "test", "0": None}


def clips(request: Request, notes: Notes, *, number: int) -> Clips:
    """Clips of one official split, 1 to 3; those it leaves unused are left out.

    Raises:
        ManifestError: no split files, or a malformed line.
    """
    lists = sorted(request.root.rglob(f"*_test_split{number}.txt"))
    if not lists:
        raise ManifestError(f"{request.root}: no *_test_split{number}.txt below it; unpack the official test_train_splits beside the class folders")
    counts = {"train": 0, "test": 0}
    for file in lists:
        label = file.name.removesuffix(f"_test_split{number}.txt")
        for name, split in _rows(file):
            path = request.root / label / name
            if split is None:
                continue
            if not path.is_file():
                notes.leave_out("listed but not there", f"{label}/{name}")
                continue
            if not _NAME.fullmatch(name):
                notes.say(f"its name is not of the release's pattern: {label}/{name}")
            counts[split] += 1
            video = f"{label}/{name}"
            yield Sample(video, video, "", split, "hmdb51", (), label.replace("_", " "), tags={"class": label}), Media(str(path))
    notes.compare("train clips", counts["train"], TRAIN)
    notes.compare("test clips", counts["test"], TEST)
    notes.compare("clips on disk", sum(1 for _ in request.root.glob("*/*.avi")), CLIPS)


def _rows(file: Path) -> Iterator[tuple[str, str | None]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        name, _, tag = line.strip().rpartition(" ")
        if line.strip() and (tag not in _SPLITS or "/" in name or not name):
            raise ManifestError(f"{file}:{number}: got {line!r}, expected 'NAME.avi TAG' with a tag of 0, 1 or 2")
        if line.strip():
            yield name.strip(), _SPLITS[tag]


SOURCES = tuple(DataSource(f"hmdb51-{number}", TERMS, "CLASS/NAME.avi as listed in the split files", partial(clips, number=number)) for number in (1, 2, 3))
