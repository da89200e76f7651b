"""What is asked about: a manifest's samples, or a public benchmark's, brought to one shape.

A manifest names its frames and its V'. A benchmark names a video and a question; its protocol says which frames are seen, and V' is made from the
question. What cannot be asked, because a row is broken or a video missing, is listed with its reason before anything runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np

from videoperceiver import answers
from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import ConfigError, RunError, SampleError
from videoperceiver.evaluation.benchmarks import BENCHMARKS, Benchmark, cut_of
from videoperceiver.evaluation.evidence import Evidence
from videoperceiver.evaluation.protocol import Protocol, effective, of_manifest
from videoperceiver.evaluation.sampling import sample_clip
from videoperceiver.stages import EvaluateConfig
from videoperceiver.types import Clip, Degradation, Question, Sample

ANNOTATION_SUFFIXES = (".json", ".jsonl", ".parquet", ".txt")
Fit = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class View:
    """One sample as it is seen.

    Attributes:
        sample: with the times of the frames seen; () where no video was read.
        clip: V at the engine's size; None where no video is read.
        degraded: question id -> how its V' is made, None where there is none.
        video_px: (height, width) of the frames before the engine resized them.
    """

    sample: Sample
    clip: Clip | None
    degraded: Mapping[str, Degradation | None] = field(default_factory=dict)
    video_px: tuple[int, int] | None = None

    def record(self) -> dict[str, Any]:
        """A line of clips.jsonl: what was really seen, from which filmstrips can be drawn again."""
        shapes = None if self.clip is None else list(self.clip.frames.shape[1:3])
        made = {key: None if value is None else {"operator": value.operator, "source_idx": list(value.source_idx)} for key, value in self.degraded.items()}
        sample = self.sample
        return {
            "sample": sample.id,
            "video": sample.video,
            "t_s": list(sample.t_s),
            "video_px": self.video_px and list(self.video_px),
            "model_px": shapes,
            "degraded": made,
        }


class Material(Interface):
    """Samples and how each is seen.

    Attributes:
        protocol: prompt, frames, decoding.
        samples: that can be asked.
        problems: rows and videos that cannot, with reasons.
        miscounts: families whose number of questions is not the release's.
        num_lost: questions that cannot be asked because their video is missing.
        benchmark: None for a manifest.
    """

    protocol: Protocol
    samples: Sequence[Sample]
    problems: list[SampleError]
    miscounts: list[str]
    num_lost: int
    benchmark: Benchmark | None

    def view(self, sample: Sample, fit: Fit) -> View:
        """Read a sample. Raises SampleError."""
        ...

    def read(self, completion: str, question: Question) -> tuple[str | None, float]:
        """The answer in a completion and its score, NaN where it cannot be scored."""
        ...


def sources(config: EvaluateConfig) -> list[Path]:
    """The files whose content a run depends on, videos aside.

    Raises:
        ConfigError: neither or both of manifest and benchmark, an unknown benchmark, no annotations.
    """
    wanted = config.benchmark
    if bool(config.manifest) == bool(wanted.name):
        raise ConfigError(
            f"manifest is {config.manifest!r} and benchmark.name {wanted.name!r}: expected one of them; "
            f"give manifest=FILE, or benchmark.name= one of {', '.join(BENCHMARKS)}"
        )
    if config.manifest:
        return [Path(config.manifest)]
    if wanted.name not in BENCHMARKS:
        raise ConfigError(f"benchmark.name is {wanted.name!r}, expected one of {', '.join(BENCHMARKS)}")
    path = Path(wanted.annotations or ".")
    if not wanted.annotations or not path.exists():
        source = BENCHMARKS[wanted.name].protocol.source
        raise ConfigError(f"benchmark.annotations is {wanted.annotations!r}, expected the official file or its folder; download it from {source}")
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in ANNOTATION_SUFFIXES and file.is_file())


def needs_videos(config: EvaluateConfig) -> bool:
    """Whether any condition shows frames to the engine."""
    return config.engine.kind != "file" and any(condition != "text" for condition in config.conditions)


def open_material(config: EvaluateConfig) -> Material:
    """The samples a config names. Raises ConfigError, and RunError where benchmark.strict finds something missing."""
    return ManifestMaterial(config) if config.manifest else BenchmarkMaterial(config)


class ManifestMaterial:
    """A manifest's samples: its frames, its V'."""

    def __init__(self, config: EvaluateConfig):
        self.benchmark: Benchmark | None = None
        self.miscounts: list[str] = []
        self.protocol, self.problems, self.num_lost = of_manifest(config), list[SampleError](), 0
        self._store = ClipStore([config.manifest], lambda frames: frames, split=config.split, memory_mb=0, folder=config.clip_cache)  # every clip is read once
        self.samples: Sequence[Sample] = self._store.samples[: config.limit or None]
        self._reads = needs_videos(config)

    def view(self, sample: Sample, fit: Fit) -> View:
        """The manifest's own frames."""
        degraded = {question.id: sample.degradation for question in sample.questions}
        if not self._reads:
            return View(sample, None, degraded)
        clip = self._store.clip(sample)
        return View(sample, Clip(fit(clip.frames), clip.t_s, clip.source), degraded, clip.frames.shape[1:3])

    def read(self, completion: str, question: Question) -> tuple[str | None, float]:
        """As every reward and benchmark reads it."""
        return plain_read(completion, question)


class BenchmarkMaterial:
    """A public benchmark's official annotations and videos."""

    def __init__(self, config: EvaluateConfig):
        wanted = config.benchmark
        self._benchmark = BENCHMARKS[wanted.name]
        self.benchmark: Benchmark | None = self._benchmark
        self.protocol, self._root = effective(self._benchmark.protocol, config), Path(wanted.videos)
        self._reads, self.num_lost = needs_videos(config), 0
        annotations = self._benchmark.load(Path(wanted.annotations))
        self.miscounts = self._benchmark.miscounts(annotations)
        self.problems = list(annotations.rejects)
        self._unreadable: set[tuple[str, str]] = set()  # (sample, question)
        if self._reads and not (wanted.videos and self._root.is_dir()):
            raise ConfigError(f"benchmark.videos is {wanted.videos!r}, expected the folder of the videos under their official names")
        listed = annotations.samples[: config.limit or None]
        kept = [i for i, sample in enumerate(listed) if self._present(self._readable(sample))]
        self.samples: Sequence[Sample] = listed.take(kept)
        if wanted.strict and (self.problems or self.miscounts):
            found = [*map(str, self.problems), *self.miscounts]
            raise RunError(f"benchmark.strict: {len(found)} things are wrong with {self._benchmark.name}, expected none. The first: {'; '.join(found[:5])}")
        shows = "degraded" in config.conditions and self._reads
        self._evidence = Evidence(config.evidence, self.protocol, config.seed) if shows and self.samples else None

    def view(self, sample: Sample, fit: Fit) -> View:
        """The protocol's frames, and V' from each question's words."""
        sample = replace(sample, questions=tuple(question for question in sample.questions if (sample.id, question.id) not in self._unreadable))
        if not self._reads:
            return View(sample, None)
        rate = sample.tags.get("frame_fps")
        clip = sample_clip(self._video(sample), self.protocol, cut=cut_of(sample), frame_fps=float(rate) if rate else None)
        seen = replace(sample, t_s=tuple(clip.t_s.tolist()))
        degraded = self._evidence.degradations(seen, clip) if self._evidence else {}
        return View(seen, Clip(fit(clip.frames), clip.t_s, clip.source), degraded, clip.frames.shape[1:3])

    def read(self, completion: str, question: Question) -> tuple[str | None, float]:
        """As the benchmark scores it; a hidden answer is read but never scored."""
        if not question.answer:
            return answers.extract(completion, question.kind, question.options), np.nan
        return (self._benchmark.read or plain_read)(completion, question)

    def _readable(self, sample: Sample) -> Sample:
        """The sample without questions whose reference no parser can read."""
        kept = []
        for question in sample.questions:
            try:
                self.read("", question)
                kept.append(question)
            except (SampleError, ValueError) as error:
                self._unreadable.add((sample.id, question.id))
                self.problems.append(SampleError(f"question {question.id!r}: {error}", path=sample.video, sample_id=sample.id))
        return replace(sample, questions=tuple(kept))

    def _present(self, sample: Sample) -> bool:
        """Whether its video is there, as named or flat in the root; what is not is listed."""
        if not sample.questions:
            return False
        if not self._reads:
            return True
        try:
            self._video(sample)
        except SampleError as error:
            self.num_lost += len(sample.questions)
            self.problems.append(error)
            return False
        return True

    def _video(self, sample: Sample) -> Path:
        """Where its video is, as named or flat in the root."""
        for path in (self._root / sample.video, self._root / Path(sample.video).name):
            if path.exists():
                return path
        reason = f"no such video in {self._root}, so its {len(sample.questions)} questions are not asked; put it there under this name, or flat"
        raise SampleError(reason, path=sample.video, sample_id=sample.id)


def plain_read(completion: str, question: Question) -> tuple[str | None, float]:
    """The shared parser's answer and score."""
    score = answers.compare(completion, question.answer, question.kind, question.options)
    return answers.extract(completion, question.kind, question.options), score
