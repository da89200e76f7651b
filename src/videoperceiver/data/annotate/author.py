"""What annotators that ask a model share: what it is shown and told, and what becomes of its answer."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from string import Template
from typing import Any

import numpy as np
import yaml
from PIL import Image

from videoperceiver.data.annotate.prompts import text, version_of
from videoperceiver.data.annotate.questions import compose
from videoperceiver.data.annotate.reading import Read, Wanted
from videoperceiver.errors import SampleError
from videoperceiver.stages import QUESTION_FAMILIES, AnnotateConfig
from videoperceiver.types import Clip, Question, Sample

logger = logging.getLogger(__name__)
FILES = ("system.txt", "ask.txt", "caption.txt", "questions.txt", "families.yaml", "templates.yaml")
LEDGER = "spent.jsonl"
"""Beside the answers."""
REVISION = 1
"""Raised whenever the same answer would be read otherwise."""
_SETTINGS = ("captions", "questions", "families", "choice_share", "num_options", "num_frames", "frame_px", "max_answer_tokens")
_STREAM = 9
_MOST_NOTES, _MOST_NOTE_CHARS = 64, 600


@dataclass(frozen=True)
class Asked:
    """One sample as a model is asked about it.

    Attributes:
        system: instructions, the same for all samples.
        request: what is wanted, with what the source says quoted in it.
        frames: (T, H, W, 3) uint8, of bounded size.
        wanted: what the answer is held against.
    """

    system: str
    request: str
    frames: np.ndarray
    wanted: Wanted


class Author:
    """Turns samples into requests and answers into samples.

    Args:
        config: what to write.
        name: of the model, as it stands in tags.
    """

    def __init__(self, config: AnnotateConfig, name: str):
        self._config, self.name = config, name
        settings = {key: value for key, value in asdict(config).items() if key in _SETTINGS}
        self.version = version_of(FILES, {"revision": REVISION, "name": name, **settings})
        self._families = tuple(family for family in QUESTION_FAMILIES if not config.families or family in config.families)
        self.written: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def asked(self, sample: Sample, clip: Clip | None) -> Asked | None:
        """What to ask about a sample; None where there is nothing to write: a source that gives captions, and no questions wanted.

        Raises:
            SampleError: no frames came with it.
        """
        wants_caption = self._config.captions and not sample.caption.strip()
        if not wants_caption and not self._config.questions:
            return None
        if clip is None or not len(clip):
            raise SampleError("there are no frames to show to a model; expected a clip of at least one", path=sample.video, sample_id=sample.id)
        idx = np.unique(np.linspace(0, len(clip) - 1, min(self._config.num_frames, len(clip))).round().astype(int))
        shown_s = tuple(clip.t_s[idx].tolist())
        wanted = Wanted(wants_caption, self._config.questions, self._families, shown_s)
        return Asked(text("system.txt"), self._request(sample, wanted), _shrunk(clip.frames[idx], self._config.frame_px), wanted)

    def annotated(self, sample: Sample, read: Read) -> Sample:
        """The sample with what can be used of an answer."""
        questions = self._questions(sample, read)
        self.written.update(samples=1, captions=int(bool(read.caption)), questions=len(questions))
        for fault in read.dropped:
            self.dropped[fault.kind] += 1
            logger.info("%s: a question is left out: %s", sample.id, fault)
        tags = {**sample.tags, "annotator": f"{self.name}@{self.version[:8]}"}
        return replace(sample, caption=sample.caption or read.caption, questions=(*sample.questions, *questions), tags=tags)

    def spent(self) -> dict[str, Any]:
        """What was written, and why questions were left out."""
        return {**self.written, "dropped_questions": dict(self.dropped.most_common())}

    def _request(self, sample: Sample, wanted: Wanted) -> str:
        tasks = [text("caption.txt")] if wanted.caption else []
        if wanted.num_questions:
            described: Mapping[str, str] = yaml.safe_load(text("families.yaml"))
            families = "\n".join(f"- {name}: {described[name]}" for name in wanted.families)
            tasks.append(Template(text("questions.txt")).substitute(num_questions=wanted.num_questions, families=families))
        first, last = (f"{time:.1f}" for time in (wanted.shown_s[0], wanted.shown_s[-1]))
        return Template(text("ask.txt")).substitute(
            num_frames=len(wanted.shown_s), first=first, last=last, notes=notes_of(sample), tasks="Write:\n\n" + "\n\n".join(tasks)
        )

    def _questions(self, sample: Sample, read: Read) -> tuple[Question, ...]:
        rng = np.random.default_rng([sample.seed, _STREAM])
        taken, made = {question.id for question in sample.questions}, []
        for draft in read.drafts:
            name = next(name for i in range(1, 1_000_000) if (name := f"{draft.family}-{i}") not in taken)
            with_options = bool(rng.random() < self._config.choice_share)
            found = compose(draft, name, with_options=with_options, num_options=self._config.num_options, rng=rng)
            if found is None:
                self.dropped["an answer that cannot be read"] += 1
                continue
            taken.add(name)
            made.append(found[0])
        return tuple(made)


def notes_of(sample: Sample) -> str:
    """What the source says about a clip, as one line of JSON in which nothing can close the quotation or look like a tag."""
    said: dict[str, Any] = {}
    if sample.caption.strip():
        said["caption"] = sample.caption[:_MOST_NOTE_CHARS]
    if sample.spans:
        said["events"] = [{"from": span.start_s, "to": span.end_s, "what": span.label[:_MOST_NOTE_CHARS]} for span in sample.spans[:_MOST_NOTES]]
    quoted = json.dumps(said, allow_nan=False) if said else "none"
    return quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shrunk(frames: np.ndarray, longest_px: int) -> np.ndarray:
    """Frames whose longer side is at most so long."""
    height, width = frames.shape[1:3]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return frames
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in frames])
