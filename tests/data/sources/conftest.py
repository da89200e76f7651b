"""Local copies as people have them: the sources' own layout and rows, with drawn stand-in clips of the right names."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.video.conftest import drawn, encode

from videoperceiver.data.media import Media
from videoperceiver.data.sources import find
from videoperceiver.data.sources.base import Request
from videoperceiver.types import Sample


@dataclass
class Seen:
    """What a source gave once it was gone through."""

    clips: list[tuple[Sample, Media]]
    notes: list[str]
    terms: str


def seen(request: Request, name: str) -> Seen:
    """All of a source's clips."""
    found = find(request, name)
    clips = list(found.clips)
    return Seen(clips, list(found.notes), found.terms)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory) -> dict[str, Path]:
    """Suffix -> a drawn clip of 30 frames at 30 fps."""
    folder = tmp_path_factory.mktemp("stand_in")
    made = {".mp4": encode(folder / "a.mp4", drawn(30), g="10"), ".avi": encode(folder / "a.avi", drawn(30), codec="mpeg4", g="10")}
    return made


@pytest.fixture
def put(tmp_path, stand_in) -> Callable[..., Path]:
    """`put("class/name.avi")` places a stand-in clip; `put("1/images", frames=50)` a folder of numbered images."""

    def place(name: str, *, frames: int = 0, digits: int = 6, suffix: str = ".jpg") -> Path:
        target = tmp_path / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if frames:
            target.mkdir()
            for number in range(1, frames + 1):
                Image.fromarray(np.full((8, 8, 3), number % 256, np.uint8)).save(target / f"{number:0{digits}d}{suffix}")
        else:
            target.write_bytes(stand_in[Path(name).suffix].read_bytes())
        return target

    return place


@pytest.fixture
def request_of(tmp_path) -> Callable[..., Request]:
    """`request_of(frame_fps=10)` asks the local copy that `put` made."""
    return lambda name="", **options: Request(tmp_path / "copy" / name, tmp_path / "work", **options)
