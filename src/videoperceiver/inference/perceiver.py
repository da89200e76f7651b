"""`VideoPerceiver`: a model and a relevance backend that answer, describe and find; what the commands and the web page call."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from videoperceiver.data.locate import locate
from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.inference.look import Looked, choose_times
from videoperceiver.inference.moments import Moment, candidates, close_span, look_closely
from videoperceiver.inference.survey import Survey, survey
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import Completion, stream
from videoperceiver.scoring.keywords import KeywordExtractor, load_keywords
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.stages import CAPTION_PROMPT
from videoperceiver.types import Clip, Degradation
from videoperceiver.video.read import Reader, opened, probe, read_clip
from videoperceiver.video.source import Source, name_of

COARSE_FPS = 2.0
EARLY_MOMENTS = 2
"""Of a ranking before the video's end: each costs a close look, and most will be overtaken."""
FIND_PROMPT = "Does this happen in the video: {event}? Answer yes or no."
YES_NO = ("yes", "no")
MAX_WORDS_CHARS = 4000
"""Longest question, event or prompt: a model that reads a book between the frames and the answer says nothing about the frames."""
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


@dataclass(frozen=True, eq=False)
class Said:
    """Answers in the making.

    Attributes:
        seen_s: up to where a long video was looked over so far, source seconds; 0 where it is short enough to be seen whole.
        texts: of each question, what is said so far.
        texts_degraded: the same on V', where there is one.
        answers: the finished answers, in the last item alone.
    """

    seen_s: float
    texts: tuple[str, ...] = ()
    texts_degraded: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class Description:
    """What happens between two moments, source seconds; `complete` is False while it is still being said."""

    start_s: float
    end_s: float
    text: str
    num_frames: int
    complete: bool = True


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
        made._backbone = backbone.requires_grad_(False).eval().to(device)
        return made

    @property
    def has_model(self) -> bool:
        """Whether it can answer; else it only finds, by relevance."""
        return self._backbone is not None

    @property
    def model_name(self) -> str:
        """The checkpoint's folder with its parent, or its hub id; empty where there is none."""
        return "/".join(Path(self._backbone.adapter.model.name_or_path).parts[-2:]) if self._backbone else ""

    @property
    def relevance_name(self) -> str:
        """The relevance backend, by the name it was asked for or calls itself."""
        return self._scorer if isinstance(self._scorer, str) else self._scorer.name

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
            SampleError: a question is empty or too long.
        """
        *_, last = self.stream(source, questions, explain=explain, frame_fps=frame_fps)
        return list(last.answers)

    def stream(self, source: Source, questions: str | Sequence[str], *, explain: bool = False, frame_fps: float | None = None) -> Iterator[Said]:
        """As `ask`, token by token; closing the iterator stops the work.

        Yields:
            What is said so far: first while a long video is looked over, then after each token; the last holds the answers of `ask`.
        """
        asked = [questions] if isinstance(questions, str) else list(questions)
        backbone = self.backbone  # without one there is nothing to look for
        self._check_words("question", asked, source)
        clip, looked = yield from self._look(source, asked, frame_fps)
        evidence = self._locate(clip, asked) if explain else None
        degraded_idx = evidence.degradation.source_idx if evidence and evidence.degradation else None
        builder = TreeBuilder(backbone, clip, degraded_idx=degraded_idx, sample_id=clip.source)
        videos = [builder.video()] + ([builder.degraded()] if degraded_idx is not None else [])
        leaves = [[builder.question(video, text) for text in asked] for video in videos]
        drawn: list[Completion] = []
        for drawn in stream(backbone, builder.tree(), [leaf for row in leaves for leaf in row], max_new_tokens=self.max_new_tokens):
            texts = tuple(c.text if c.finished else c.text.rstrip("\ufffd") for c in drawn)  # a character may take several tokens
            yield Said(looked.length_s, texts[: len(asked)], texts[len(asked) :])
        full, degraded = drawn[: len(asked)], drawn[len(asked) :]
        shown: list[Evidence | None] = [evidence] * len(asked)
        if evidence and degraded:
            logps = self._logps(builder, [(leaf, full[i].token_ids) for row in leaves for i, leaf in enumerate(row)])
            shown = [self._compared(evidence, full[i], degraded[i], logps[i], logps[len(asked) + i]) for i in range(len(asked))]
        answers = tuple(Answer(text, c.text, c.finished, looked, e) for text, c, e in zip(asked, full, shown, strict=True))
        yield Said(looked.length_s, tuple(c.text for c in full), tuple(c.text for c in degraded), answers)

    def describe(self, source: Source, *, prompt: str = CAPTION_PROMPT, partial: bool = False, frame_fps: float | None = None) -> Iterator[Description]:
        """Describes a video in stretches of at most `max_frames` frames, as they are done.

        Args:
            source: a file, a folder of images, or a file's bytes.
            prompt: what the model is asked for each stretch.
            partial: also yield each stretch after every token of it, not `complete`.
            frame_fps: images a second, for a folder.

        Raises:
            VideoReadError: the video cannot be read.
            SampleError: the prompt is empty or too long.
        """
        self._check_words("prompt", [prompt], source)
        stretch_s = self.max_frames / self.fps
        length_s, side, backbone = self._length_s(source, frame_fps), self._side(source, frame_fps), self.backbone
        with opened(source, frame_fps=frame_fps) as video:
            for k in range(max(1, int(np.ceil(length_s / stretch_s - 1e-6)))):
                start_s, end_s = k * stretch_s, min((k + 1) * stretch_s, length_s) - 1e-3
                clip = video.clip(fps=self.fps, span=(start_s, end_s), size_px=side)
                builder = TreeBuilder(backbone, clip, sample_id=clip.source)
                question, text = builder.question(builder.video(), prompt), ""
                for [completion] in stream(backbone, builder.tree(), [question], max_new_tokens=self.max_new_tokens):
                    text = completion.text
                    if partial:
                        yield Description(start_s, end_s, text.rstrip("\ufffd"), len(clip), complete=False)
                yield Description(start_s, end_s, text, len(clip))

    def find(self, source: Source, event: str, *, top: int = 5, frame_fps: float | None = None) -> Iterator[Found]:
        """Where an event is: coarse relevance over the whole video, dense frames around the best moments, then the model on those.

        Args:
            source: a file, a folder of images, or a file's bytes.
            event: in words.
            top: most moments to return.
            frame_fps: images a second, for a folder.

        Yields:
            Rankings: provisional ones of the best two moments while the video is read (by relevance), the complete one last (by the model where there is one).

        Raises:
            VideoReadError: the video cannot be read.
            SampleError: the event is empty or too long.
        """
        self._check_words("event", [event], source)
        phrases = self.keywords([event]) or (event.strip(),)
        close: dict[tuple[float, float, float], Moment] = {}
        side = self._side(source, frame_fps)
        with opened(source, frame_fps=frame_fps) as video:
            for found in survey(source, phrases, self.scorer, fps=COARSE_FPS, frame_fps=frame_fps):
                moments = []
                for coarse in candidates(found, top if found.complete else min(top, EARLY_MOMENTS)):
                    place = coarse.peak_s, *close_span(coarse)
                    close[place] = close.get(place) or look_closely(video, coarse, phrases, self.scorer)
                    moments.append(close[place].known_by(coarse))
                if found.complete and self._backbone is not None:
                    moments = [moment.verified(self._probability(video, moment, event, top, side)) for moment in moments]
                yield Found(sorted(moments, key=lambda m: -m.score), found)

    def _look(self, source: Source, questions: Sequence[str], frame_fps: float | None) -> Generator[Said, None, tuple[Clip, Looked]]:
        """The frames the model sees; on the way, how far a long video was looked over."""
        length_s, side = self._length_s(source, frame_fps), self._side(source, frame_fps)
        if length_s * self.fps <= self.max_frames:
            clip = read_clip(source, fps=self.fps, size_px=side, frame_fps=frame_fps, max_frames=self.max_frames + 1)
            return clip, Looked(clip.t_s, length_s, focused=False)
        for found in survey(source, self.keywords(questions), self.scorer, fps=COARSE_FPS, frame_fps=frame_fps):
            yield Said(float(found.t_s[-1]))
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

    def _logps(self, builder: TreeBuilder, answers: Sequence[tuple[int, "str | np.ndarray"]]) -> list[float]:
        """Log-probability of each answer after its question, from one forward."""
        nodes = [builder.answer(leaf, answer) for leaf, answer in answers]
        with torch.no_grad():
            output = self.backbone([builder.tree()])
        return [output.logps[output.node[:, 1] == node].sum().item() for node in nodes]

    def _probability(self, video: Reader, moment: Moment, event: str, top: int, side: int | None) -> float:
        """pi(yes) / (pi(yes) + pi(no)) on at most max_frames / top frames of the moment and a second around it."""
        start_s, end_s = max(0.0, moment.start_s - 1), moment.end_s + 1
        num_frames = max(4, self.max_frames // top // 2 * 2)
        fps = min(self.fps, num_frames / (end_s - start_s))
        clip = video.clip(fps=fps, span=(start_s, end_s), size_px=side)
        builder = TreeBuilder(self.backbone, clip, sample_id=clip.source)
        question = builder.question(builder.video(), FIND_PROMPT.format(event=event.strip()))
        yes, no = self._logps(builder, [(question, word) for word in YES_NO])
        return float(1 / (1 + np.exp(no - yes)))

    def _check_words(self, what: str, texts: Sequence[str], source: Source) -> None:
        """Words are text: not empty, not a book, and nothing that the tokenizer would read as a mark of the conversation."""
        if not texts or not all(text.strip() for text in texts):
            raise SampleError(f"got an empty {what}; expected words", path=name_of(source))
        longest = max(map(len, texts))
        if longest > MAX_WORDS_CHARS:
            raise SampleError(f"got a {what} of {longest:,} characters; expected at most {MAX_WORDS_CHARS:,}", path=name_of(source))
        marks = self._backbone.tokenizer.get_added_vocab() if self._backbone else ()
        if found := sorted(mark for mark in marks if any(mark in text for text in texts)):
            said = f"got a {what} with {', '.join(found)}, which the model reads as marks of the conversation; expected plain words"
            raise SampleError(said, path=name_of(source))
