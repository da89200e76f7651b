"""What a run will work on: real clips of its manifests where these are there, else clips as assumed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import ConfigError, VideoReadError
from videoperceiver.models.meta import MetaBackbone, has_processor
from videoperceiver.stages import ModelConfig
from videoperceiver.types import Clip, Degradation, Question, Sample

LOOKED_AT = 12
"""Clips of a manifest that are planned with; more would change little and decoding takes time."""
TOKENS_A_WORD = 1.3
"""English in the Qwen tokenizers; only where the model's own tokenizer is not at hand."""


@dataclass(frozen=True)
class Workload:
    """A clip as it is assumed, where there is no manifest to look into. Every number is printed with the plan.

    Attributes:
        clips: in the data set.
        frames: of a clip; 30 s at 1 fps (the paper's rate; it does not tell lengths).
        height_px, width_px: as the model sees them.
        questions: of a clip.
        question_tokens, answer_tokens, caption_tokens, keyword_tokens: of one.
        event_at: share of the clip before the first replaced frame: V' shares that much with V.
        event_frames: that V' replaces.
        completion_tokens: of stage 2; 0 = as many as the recipe allows, an upper bound.
        refeed_share: of stage 2's groups that are drawn again, at each further try.
    """

    clips: int = 80_000
    frames: int = 30
    height_px: int = 336
    width_px: int = 560
    questions: int = 3
    question_tokens: int = 40
    answer_tokens: int = 8
    caption_tokens: int = 60
    keyword_tokens: int = 12
    event_at: float = 0.5
    event_frames: int = 2
    completion_tokens: int = 0
    refeed_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("clips", "frames", "height_px", "width_px", "question_tokens", "answer_tokens", "event_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.event_at < 1 or not 0 <= self.refeed_share <= 1:
            raise ConfigError(f"event_at is {self.event_at} and refeed_share {self.refeed_share}, expected shares between 0 and 1")


@dataclass(frozen=True)
class Material:
    """What is planned with.

    Attributes:
        samples: with the clips as the model would see them; pixels are not real.
        num_clips: of the training split in all.
        said: where it comes from, in words.
    """

    samples: Sequence[tuple[Sample, Clip]]
    num_clips: int
    said: str


def tokens_a_word(model: ModelConfig, manifests: Sequence[str]) -> float | None:
    """How texts are counted: None = by the model's own tokenizer, for real texts and a local folder."""
    if not _found(manifests):
        return 1.0
    return None if has_processor(model.path) else TOKENS_A_WORD


def material(backbone: MetaBackbone, manifests: Sequence[str], workload: Workload) -> Material:
    """Samples to plan with.

    Raises:
        ConfigError: the manifests hold no training sample.
        SampleError: none of the clips that were looked at can be read.
    """
    fitted = _fitted(backbone, workload)
    if not _found(manifests):
        return Material([_assumed(fitted)], workload.clips, f"assumed, {described(fitted)}")
    store = ClipStore(manifests, backbone.adapter.fit, split="train")
    videos = [sample for sample in store.samples if sample.media == "video"]
    if not videos:
        raise ConfigError(f"train: no sample of {', '.join(manifests)} is a video; plan looks at videos")
    chosen = [videos[i] for i in np.unique(np.linspace(0, len(videos) - 1, LOOKED_AT).astype(int))]
    said = f"{len(store.samples):,} clips of {', '.join(manifests)}, {len(chosen)} looked at"
    if not backbone.spelled:
        known = [(sample, _blank(sample.t_s, fitted)) for sample in chosen]
        size = f"{fitted.height_px}x{fitted.width_px} px assumed, because {backbone.where} brings no processor"
        return Material(known, len(store.samples), f"{said}; {size}")
    return Material(_read(store, chosen), len(store.samples), said)


def described(workload: Workload) -> str:
    """The assumption in words."""
    return (
        f"{workload.frames} frames of {workload.height_px}x{workload.width_px} px, {workload.questions} questions of {workload.question_tokens} tokens "
        f"with answers of {workload.answer_tokens}, a caption of {workload.caption_tokens}, V' differs from {workload.event_at:.0%} of the clip on"
    )


def _found(manifests: Sequence[str]) -> bool:
    return bool(manifests) and all(Path(path).is_file() for path in manifests)


def _fitted(backbone: MetaBackbone, workload: Workload) -> Workload:
    """Frame size rounded to whole merged patches, as processors do."""
    tower = backbone.adapter.model.config.vision_config
    unit = tower.patch_size * tower.spatial_merge_size
    height, width = (max(1, round(side / unit)) * unit for side in (workload.height_px, workload.width_px))
    return replace(workload, height_px=height, width_px=width)


def _blank(t_s: Sequence[float], workload: Workload) -> Clip:
    frames = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (len(t_s), workload.height_px, workload.width_px, 3))
    return Clip(frames, np.asarray(t_s, dtype=np.float64), "plan")


def _assumed(workload: Workload) -> tuple[Sample, Clip]:
    t_s = tuple(float(i) for i in range(workload.frames))
    first = min(workload.frames - 1, max(1, round(workload.event_at * workload.frames)))
    source = [first - 1 if first <= i < first + workload.event_frames else i for i in range(workload.frames)]
    question = Question("q", _words(workload.question_tokens), _words(workload.answer_tokens), "word", "assumed", options=("yes", "no"))
    sample = Sample(
        id="assumed",
        video="plan",
        sha256="",
        split="train",
        source="assumed",
        t_s=t_s,
        caption=_words(workload.caption_tokens),
        questions=tuple(replace(question, id=f"q{i}") for i in range(workload.questions)),
        keywords=(_words(workload.keyword_tokens),) if workload.keyword_tokens else (),
        degradation=Degradation("hold", tuple(source)) if workload.frames > 1 else None,
    )
    return sample, _blank(t_s, workload)


def _words(number: int) -> str:
    return " ".join(["word"] * number)


def _read(store: ClipStore, chosen: Sequence[Sample]) -> list[tuple[Sample, Clip]]:
    found, last = [], None
    for sample in chosen:
        try:
            found.append((sample, store.clip(sample)))
        except VideoReadError as error:
            last = error
    if not found:
        assert last is not None
        raise last
    return found
