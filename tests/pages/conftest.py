"""Made-up figures, and what every page must be."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from videoperceiver.pages import Answer, AnsweredQuestion, ClipFigure
from videoperceiver.types import Span

VOID = {"meta", "img", "br", "hr", "input", "link"}


@pytest.fixture
def make_clip():
    """`make_clip(num_frames=16, height=32, width=32, **fields) -> ClipFigure` with one replaced key frame."""

    def make(num_frames: int = 16, height: int = 32, width: int = 32, **fields) -> ClipFigure:
        rng = np.random.default_rng(num_frames)
        frames = rng.integers(0, 255, (num_frames, height, width, 3), dtype=np.uint8)
        key = num_frames // 2
        source = list(range(num_frames))
        source[key] = max(key - 1, 0)
        scores = rng.random(num_frames)
        values = {
            "title": "clip",
            "frames": frames,
            "t_s": np.arange(num_frames) / 4,
            "scores": scores,
            "degraded_scores": scores * 0.9,
            "keyframes_idx": (key,),
            "runs": (range(key, key + 1),),
            "spans": (Span(key / 4, (key + 1) / 4, "red flash"),),
            "source_idx": source,
            "operator": "hold",
            "keywords": ("red flash",),
            "answers": (
                AnsweredQuestion("Which colour?", "red", (Answer("stage 1", "red", True), Answer("plain", "blue", False), Answer("stage 1", "", None, "V′"))),
            ),
        }
        return ClipFigure(**{**values, **fields})

    return make


class _Checker(HTMLParser):
    """Every tag closed in order; attributes and tags that could run or load something collected."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.images_without_alt = 0

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "link", "iframe", "object", "form", "base", "embed"):
            self.faults.append(f"<{tag}>")
        self.faults += [f"{tag} {name}" for name in names if name.startswith("on") or name == "style"]
        self.faults += [
            f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "action") and not (value or "").startswith(("data:image/", "#"))
        ]
        self.images_without_alt += tag == "img" and not names.get("alt")
        self.ids += [names["id"]] if "id" in names else []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:] or 'nothing'}")
        else:
            self.open.pop()


@pytest.fixture
def check_page():
    """Fails on anything that runs, loads, is left open, lacks an alternative text, or repeats an id."""

    def check(html: str) -> None:
        checker = _Checker()
        checker.feed(html)
        assert checker.faults == []
        assert checker.open == []
        assert checker.images_without_alt == 0
        assert len(set(checker.ids)) == len(checker.ids)
        assert not re.search(r"url\s*\(|@import", html)
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
        assert not re.search(r"[^0-9a-z]nan[^a-z]|\binf%|None", re.sub(r"base64,[^\"]*", "", html))
        assert "default-src 'none'" in html

    return check
