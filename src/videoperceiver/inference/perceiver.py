"""`VideoPerceiver`: a model and a relevance backend that answer, describe and find; what the commands and the web page call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from videoperceiver.data.locate import locate
from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.inference.look import Looked, choose_times
from videoperceiver.inference.moments import Moment, candidates, look_closely
from videoperceiver.inference.survey import Survey, survey
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import Completion, generate
from videoperceiver.scoring.keywords import KeywordExtractor, load_keywords
from videoperceiver.scoring.relevance import RelevanceScorer, load_relevance
from videoperceiver.stages import CAPTION_PROMPT
from videoperceiver.types import Clip, Degradation
from videoperceiver.video.read import probe, read_clip
from videoperceiver.video.source import Source, name_of

COARSE_FPS = 2.0
FIND_PROMPT = "Does this happen in the video: {event}? Answer yes or no."
YES_NO = ("yes", "no")
_READ_BYTES = 2**29
"""Most memory that frames take before they are brought to the model's size; larger pictures are shrunk while they are read."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Whether an answer rests on the key frames: the same question on V', where they are held (paper 3.1).

    Attributes:
        clip: V, the frames the model saw.
        scores: (T,) their relevance to the question.
        keyframes_idx: (K,) key frames.
        degradation: how V' was made; None where no frame stands out, so that there is no V' and nothing below.
        answer: what the model says on V'.
        changed: whether it says something else than on V.
        logp, logp_degraded: log-probability of the answer given on V, under V and under V'.
    """

    clip: Clip
    scores: np.ndarray
    keyframes_idx: np.ndarray
    degradation: Degradation | None
    answer: str = ""
    changed: bool | None = None
    logp: float | None = None
    logp_degraded: float | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer; `finished` is False where it was cut at the longest length allowed."""

    question: str
    text: str
    finished: bool
    looked: Looked
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Description:
    """What happens between two moments, source seconds."""

    start_s: float
    end_s: float
    text: str
    num_frames: int


@dataclass(frozen=True, eq=False)
class Found:
    """Moments ranked by score, best first; provisional until `complete`, when the video was seen up to its end."""

    moments: list[Moment]
    survey: Survey

    @property
    def seen_s(self) -> float:
        """Up to where the video was seen, source seconds."""
        return float(self.survey.t_s[-1])

    @property
    def complete(self) -> bool:
        """Whether that is its end."""
        return self.survey.complete


class VideoPerceiver:
    """Answers questions about a video, describes it, finds events in it.

    Args:
        backbone: the model; None can only `find`, by relevance alone.
        relevance: backend that chooses frames of long videos, finds moments and makes V'; a name or a loaded scorer.
        keywords: extractor of event phrases from a question; a name or a loaded one.
        fps: frames a second to look at, where the video is short enough or the moment relevant enough.
        max_frames: most frames the model sees at once, whatever the video's length; even, at least 4.
        max_new_tokens: longest answer.
    """

    def __init__(
        self,
        backbone: Backbone | None,
        *,
        relevance: str | RelevanceScorer = "proxy",
        keywords: str | KeywordExtractor = "spacy",
        fps: float = 4.0,
        max_frames: int = 64,
        max_new_tokens: int = 256,
    ):
        if max_frames < 4 or max_frames % 2 or fps <= 0:
            raise ConfigError(f"got max_frames={max_frames}, fps={fps:g}; expected an even number of at least 4 frames and a rate above 0")
        self._backbone, self.fps, self.max_frames, self.max_new_tokens = backbone, fps, max_frames, max_new_tokens
        self._scorer, self._extractor = relevance, keywords

    @classmethod
    def load(cls, model: str | Path | None, *, dtype: str = "", **options) -> "VideoPerceiver":
        """From a Hugging Face folder or hub id.

        Args:
            model: what `videoperceiver sft` and `grpo` leave in `RUN/model`, or any supported checkpoint; None for `find` without a model.
            dtype: of the weights; empty = bfloat16 on a GPU, float32 on a CPU.
            options: of the constructor.

        Raises:
            ModelError: no such checkpoint.
        """
        made = cls(None, **options)  # a wrong option should not wait for a model
        if model is None:
            return made
        device = "cuda" if torch.cuda.is_available() else "cpu"
        backbone = Backbone.load(model, dtype=dtype or ("bfloat16" if device == "cuda" else "float32"), video_times="clip")
        made._backbone = backbone.requires_grad_(False).to(device)
        return made

    @property
    def has_model(self) -> bool:
        """Whether it can answer; else it only finds, by relevance."""
        return self._backbone is not None

    @property
    def backbone(self) -> Backbone:
        """The model.

        Raises:
            ConfigError: there is none.
        """
        if self._backbone is None:
            raise ConfigError("this needs a model; give a folder such as RUN/model, or a hub id")
        return self._backbone

    @property
    def scorer(self) -> RelevanceScorer:
        """The relevance backend, loaded when first used."""
        if isinstance(self._scorer, str):
            self._scorer = load_relevance(self._scorer)
        return self._scorer

    def keywords(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Event phrases of the texts, each once, in order."""
        if isinstance(self._extractor, str):
            self._extractor = load_keywords(self._extractor)
        return tuple(dict.fromkeys(phrase for phrases in self._extractor(list(texts)) for phrase in phrases))

    def ask(self, source: Source, questions: str | Sequence[str], *, explain: bool = False, frame_fps: float | None = None) -> list[Answer]:
        """Answers questions, all from one pass over the video.

        A video with more frames at `fps` than `max_frames` is surveyed first, and half of the frames are spent where the questions' events may be.

        Args:
            source: a file, a folder of images, or a file's bytes.
            questions: one or several.
            explain: also answer on V', without the key frames, and compare.
            frame_fps: images a second, for a folder.

        Raises:
            VideoReadError: the video cannot be read.
            SampleError: a question is empty.
        """
        asked = [questions] if isinstance(questions, str) else list(questions)
        if not asked or not all(text.strip() for text in asked):
            raise SampleError("got an empty question; expected words", path=name_of(source))
        clip, looked = self._look(source, asked, frame_fps)
        evidence = self._locate(clip, asked) if explain else None
        degraded_idx = evidence.degradation.source_idx if evidence and evidence.degradation else None
        builder = TreeBuilder(self.backbone, clip, degraded_idx=degraded_idx, sample_id=clip.source)
        videos = [builder.video()] + ([builder.degraded()] if degraded_idx is not None else [])
        leaves = [[builder.question(video, text) for text in asked] for video in videos]
        drawn = self._generate(builder, [leaf for row in leaves for leaf in row])
        full, degraded = drawn[: len(asked)], drawn[len(asked) :]
        shown: list[Evidence | None] = [evidence] * len(asked)
        if evidence and degraded:
            logps = self._logps(builder, [(leaf, full[i].token_ids) for row in leaves for i, leaf in enumerate(row)])
            shown = [self._compared(evidence, full[i], degraded[i], logps[i], logps[len(asked) + i]) for i in range(len(asked))]
        return [Answer(text, c.text, c.finished, looked, e) for text, c, e in zip(asked, full, shown, strict=True)]

    def describe(self, source: Source, *, prompt: str = CAPTION_PROMPT, frame_fps: float | None = None) -> Iterator[Description]:
        """Describes a video in stretches of at most `max_frames` frames, as they are done.

        Raises:
            VideoReadError: the video cannot be read.
        """
        stretch_s = self.max_frames / self.fps
        length_s = self._length_s(source, frame_fps)
        for k in range(max(1, int(np.ceil(length_s / stretch_s - 1e-6)))):
            span = (k * stretch_s, min((k + 1) * stretch_s, length_s) - 1e-3)
            clip = read_clip(source, fps=self.fps, span=span, size_px=self._side(source, frame_fps), frame_fps=frame_fps)
            builder = TreeBuilder(self.backbone, clip, sample_id=clip.source)
            [completion] = self._generate(builder, [builder.question(builder.video(), prompt)])
            yield Description(span[0], span[1], completion.text, len(clip))

    def find(self, source: Source, event: str, *, top: int = 5, frame_fps: float | None = None) -> Iterator[Found]:
        """Where an event is: coarse relevance over the whole video, dense frames around the best moments, then the model on those.

        Args:
            source: a file, a folder of images, or a file's bytes.
            event: in words.
            top: most moments to return.
            frame_fps: images a second, for a folder.

        Yields:
            Rankings: provisional ones while the video is read (by relevance), the complete one last (by the model where there is one).

        Raises:
            VideoReadError: the video cannot be read.
            SampleError: the event is empty, or names nothing the backend could look for.
        """
        phrases = self.keywords([event]) or ((event.strip(),) if event.strip() else ())
        if not phrases:
            raise SampleError("got an empty event; expected words, such as 'a door slams'", path=name_of(source))
        close: dict[float, Moment] = {}
        for found in survey(source, phrases, self.scorer, fps=COARSE_FPS, frame_fps=frame_fps):
            moments = []
            for coarse in candidates(found, top):
                moment = close.get(coarse.peak_s) or look_closely(source, coarse, phrases, self.scorer, frame_fps=frame_fps)
                close[coarse.peak_s] = moment
                moments.append(moment.at_relevance(coarse.score))
            if found.complete and self._backbone is not None:
                moments = [moment.verified(self._probability(source, moment, event, top, frame_fps)) for moment in moments]
            yield Found(sorted(moments, key=lambda m: -m.score), found)

    def _look(self, source: Source, questions: Sequence[str], frame_fps: float | None) -> tuple[Clip, Looked]:
        """The frames the model sees."""
        length_s, side = self._length_s(source, frame_fps), self._side(source, frame_fps)
        if length_s * self.fps <= self.max_frames:
            clip = read_clip(source, fps=self.fps, size_px=side, frame_fps=frame_fps, max_frames=self.max_frames + 1)
            return clip, Looked(clip.t_s, length_s, focused=False)
        found = _last(survey(source, self.keywords(questions), self.scorer, fps=COARSE_FPS, frame_fps=frame_fps))
        times_s = choose_times(found, fps=self.fps, max_frames=self.max_frames)
        clip = read_clip(source, t_s=times_s, size_px=side, frame_fps=frame_fps)
        return clip, Looked(clip.t_s, length_s, focused=True)

    def _length_s(self, source: Source, frame_fps: float | None) -> float:
        """Duration; counted where the header does not tell it."""
        known = probe(source, frame_fps=frame_fps).duration_s
        if known:
            return known
        from videoperceiver.video.read import frame_times

        times_s = frame_times(source, frame_fps=frame_fps)
        return float(times_s[-1] - times_s[0]) if len(times_s) else 0.0

    def _side(self, source: Source, frame_fps: float | None) -> int | None:
        """Longer side at which `max_frames` frames fit into memory; None = as stored."""
        info = probe(source, frame_fps=frame_fps)
        shrink = (_READ_BYTES / (3 * self.max_frames * info.height_px * info.width_px)) ** 0.5
        return None if shrink >= 1 else int(max(info.height_px, info.width_px) * shrink)

    def _locate(self, clip: Clip, questions: Sequence[str]) -> Evidence:
        scored = self.scorer.score(self.scorer.describe(clip.frames), clip.t_s, self.keywords(questions))
        found = locate(scored.scores, clip.t_s, rescore=scored.degraded)
        return Evidence(clip, scored.scores, found.keyframes_idx, found.degradation)

    def _compared(self, evidence: Evidence, full: Completion, degraded: Completion, logp: float, logp_degraded: float) -> Evidence:
        changed = full.text.strip().casefold() != degraded.text.strip().casefold()
        return Evidence(evidence.clip, evidence.scores, evidence.keyframes_idx, evidence.degradation, degraded.text, changed, logp, logp_degraded)

    def _generate(self, builder: TreeBuilder, leaves: Sequence[int]) -> list[Completion]:
        """Greedy completions of the leaves."""
        [drawn] = generate(self.backbone, [builder.tree()], [leaves], num_generations=1, max_new_tokens=self.max_new_tokens, temperature=0.0, seed=0)
        return [completion for [completion] in drawn]

    def _logps(self, builder: TreeBuilder, answers: Sequence[tuple[int, "str | np.ndarray"]]) -> list[float]:
        """Log-probability of each answer after its question, from one forward."""
        nodes = [builder.answer(leaf, answer) for leaf, answer in answers]
        with torch.no_grad():
            output = self.backbone([builder.tree()])
        return [output.logps[output.node[:, 1] == node].sum().item() for node in nodes]

    def _probability(self, source: Source, moment: Moment, event: str, top: int, frame_fps: float | None) -> float:
        """pi(yes) / (pi(yes) + pi(no)) on at most max_frames / top frames of the moment and a second around it."""
        start_s, end_s = max(0.0, moment.start_s - 1), moment.end_s + 1
        num_frames = max(4, self.max_frames // top // 2 * 2)
        fps = min(self.fps, num_frames / (end_s - start_s))
        clip = read_clip(source, fps=fps, span=(start_s, end_s), size_px=self._side(source, frame_fps), frame_fps=frame_fps)
        builder = TreeBuilder(self.backbone, clip, sample_id=clip.source)
        question = builder.question(builder.video(), FIND_PROMPT.format(event=event.strip()))
        yes, no = self._logps(builder, [(question, word) for word in YES_NO])
        return float(1 / (1 + np.exp(no - yes)))


def _last(surveys: Iterator[Survey]) -> Survey:
    """The complete one."""
    *_, complete = surveys
    return complete
