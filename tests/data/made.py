"""A small data set as stage 0 leaves it: real media, rows with and without V', and the run's own papers."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tests.pages.hostile import HOSTILE

from videoperceiver.data import manifest
from videoperceiver.types import Degradation, Question, Sample, Span

NUM_FRAMES, FPS = 8, 4
TIMES = tuple(i / FPS for i in range(NUM_FRAMES))
OPTIONS = ("A. the flash", "B. the fall")
CHOICE = Question("which", "Which comes first?\nA. the flash\nB. the fall\nAnswer with the letter of the correct option.", "B", "choice", "order", OPTIONS)
QUESTIONS = (
    CHOICE,
    Question("count", "How many flashes? Answer with a number.", "2", "number", "count", ("1", "2", "3")),
    Question("when", "When does it flash? Answer with the time in seconds.", "1.25", "time", "when"),
    Question("sky", "Is the sky grey? Answer yes or no.", "yes", "yes_no", "scenery", ("yes", "no"), static=True),
    Question("what", "What happens?", "it flashes", "open", "open"),
)


CONFIG = """source: /home/me/secret
output: /home/me/out
fps: 4.0
annotate: {method: templated, model: /home/me/models/tiny, server: {base_url: "http://inside"}}
validate: {enabled: true, language: en, skip: [], benchmark_index: [/home/me/tvbench.npz]}
"""


def draw(path: Path, at: int) -> None:
    """Eight grey frames a quarter of a second apart; frame `at` is white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 48, 32, "yuv444p", 1
        for i in range(NUM_FRAMES):
            level = 250 if i == at else 90
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 48, 3), level, np.uint8), format="rgb24")))
        container.mux(stream.encode())


def with_event(name: str, at: int, **fields) -> Sample:
    """A sample whose frame `at` flashes and is held in V'."""
    source_idx = tuple(at - 1 if i == at else i for i in range(NUM_FRAMES))
    made = Degradation("hold", source_idx, residual=0.1, change=0.9, removed=fields.pop("removed", True))
    values = {"caption": "a grey sky, then a flash", "keywords": ("a flash",), "spans": (Span(at / FPS, at / FPS + 0.2, "flash"),)}
    values |= {"keyframes_idx": (at,), "scores": tuple(float(i == at) for i in range(NUM_FRAMES)), "degradation": made, "event_share": (0.25, 0.125)}
    values |= {"split": "train", "source": "made", "sha256": f"{at:064x}"}
    return Sample(name, f"media/{name}.mp4", t_s=TIMES, **{**values, **fields})


def samples() -> list[Sample]:
    """Six rows: three splits, a folder of images, a picture, a text; one carries hostile text, one was rejected by a reviewer."""
    return [
        with_event("flash", 5, questions=QUESTIONS, tags={"annotator": "templated@0123abcd"}),
        with_event("hostile", 3, caption=HOSTILE, questions=(Question("q", HOSTILE, HOSTILE, "open", HOSTILE),), source=HOSTILE[:60], removed=False),
        with_event("held-out", 2, split="validation", questions=(CHOICE,), removed=False),
        replace(with_event("images", 4, split="test", questions=(QUESTIONS[1],)), video="media/images", frame_fps=4.0),
        Sample("plain", "media/plain.mp4", "f" * 64, "train", "made", TIMES, caption="nothing happens", tags={"review": "rejected", "review_reason": "dull"}),
        Sample("picture", "media/picture.png", "e" * 64, "train", "made", (0.0,), caption="a grey picture"),
    ]


def data_folder(folder: Path) -> Path:
    """Media, manifest and papers in a folder; returns it."""
    for name, at in (("flash", 5), ("hostile", 3), ("held-out", 2), ("plain", -1)):
        draw(folder / "media" / f"{name}.mp4", at)
    (folder / "media" / "images").mkdir()
    for i in range(NUM_FRAMES):
        Image.new("RGB", (48, 32), (250,) * 3 if i == 4 else (90,) * 3).save(folder / "media" / "images" / f"{i:03d}.png")
    Image.new("RGB", (48, 32), (90,) * 3).save(folder / "media" / "picture.png")
    manifest.write(samples(), folder / "manifest.parquet")
    (folder / "source.json").write_text(json.dumps({"format": "made", "terms": "made: CC BY 4.0", "clips": 6, "notes": ["left out, not there: x.mp4"]}))
    (folder / "result.json").write_text(json.dumps({"clips": 6, "annotate": {"annotator": "endpoint", "requests": 12, "tokens": 34_567}}))
    (folder / "config.yaml").write_text(CONFIG)
    broken = {"path": "/home/me/secret/x", "kind": "VideoReadError"}
    rejects = [{**broken, "sample_id": f"bad-{i}", "reason": f"frame {i} of '/home/me/v{i}' is broken"} for i in range(3)]
    (folder / "rejects.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rejects, {"sample_id": HOSTILE, "reason": HOSTILE}]))
    dropped = [{"sample_id": "flash", "part": "question", "part_id": "q9", "rule": "leak", "reason": "the answer is in it", "text": HOSTILE}]
    (folder / "dropped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dropped) + '{"torn')
    return folder
