"""One clip through stage 0: its texts checked, what carries its event, what V' shows instead, how rare the event is made (paper 3.1).

A worker takes a few clips at a time and gives a row, or the reason why there is none, for each: paths in, rows out. It decodes in processes of its own, which
can be killed, so that a hang, a crash or a bomb costs one clip. What it computes for a clip depends neither on the clips beside it nor on where it runs.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.config import load
from videoperceiver.data import fingerprints
from videoperceiver.data.locate import Located, locate
from videoperceiver.data.outcomes import Outcome, Task, error_of
from videoperceiver.data.pixels import content_hash
from videoperceiver.data.placing import place
from videoperceiver.data.validate import Dropped, validate
from videoperceiver.errors import BudgetError, SampleError
from videoperceiver.scoring.keywords import KeywordExtractor, load_keywords
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.scoring.scorer import Scored
from videoperceiver.stages import DataConfig
from videoperceiver.types import Clip, Sample, Span
from videoperceiver.video.keyframes import from_spans
from videoperceiver.video.pool import DecodePool, ReadRequest
from videoperceiver.video.select import TOLERANCE_S
from videoperceiver.video.source import reading
from videoperceiver.video.sparsify import sparse_times
from videoperceiver.video.track import NOT_ITS_OWN_TIMES

logger = logging.getLogger(__name__)


@dataclass
class Opened:
    """A clip whose frames are being decoded.

    Attributes:
        task: what is to be done.
        sample: what stood the rules.
        dropped: what did not.
        grid_s: (N,) when the source shows a frame.
        assumed: what had to be assumed about these times.
        share: of frames inside events, before and after its events were made rare; None where that is still to be done, or is not.
        clips: the frames asked for first, and those of its fingerprint where one is wanted.
    """

    task: Task
    sample: Sample
    dropped: tuple[Dropped, ...]
    grid_s: np.ndarray
    assumed: str
    share: tuple[float, float] | None
    clips: "Future[list[Clip]]"


@dataclass(frozen=True)
class Described:
    """Frames as the scorer remembers them.

    Attributes:
        t_s: (T,) times.
        records: (T, ..) of the scorer.
    """

    t_s: np.ndarray
    records: np.ndarray


class Preparation:
    """A worker of stage 0.

    Args:
        config: of the stage.
    """

    def __init__(self, config: DataConfig):
        self.config = config
        runtime = config.runtime
        self._pool = DecodePool(runtime.decoders, runtime.deadline_s, runtime.memory_mb)
        self._threads = ThreadPoolExecutor(runtime.decoders, "prepare")
        options = {"model": config.relevance_model} if config.relevance_model else {"num_threads": 1} if config.relevance == "proxy" else {}
        self._scorer = load_relevance(config.relevance, **options)
        self._extractor: KeywordExtractor | None = None
        self._compares = config.validate.duplicates != "keep" or config.validate.decontaminate != "keep"
        self._seconds: dict[str, float] = {}

    def __call__(self, tasks: Sequence[Task]) -> list[Outcome]:
        """An outcome for each task, in order; decoding runs ahead of scoring, and keywords are extracted from all texts at once."""
        self._seconds, decoded_s = {}, self._pool.cpu_s
        clips = [self._checked(task, times) for task, times in zip(tasks, self._threads.map(self._times, tasks), strict=True)]
        keywords = iter(self._keywords([clip.sample for clip in clips if isinstance(clip, Opened)]))
        outcomes = []
        for task, clip in zip(tasks, clips, strict=True):
            if isinstance(clip, Outcome):
                outcomes.append(clip)
                continue
            try:
                outcomes.append(self._outcome(clip, next(keywords)))
            except SampleError as error:
                outcomes.append(Outcome.rejected(task, error, clip.dropped))
        self._seconds["decode"] = self._pool.cpu_s - decoded_s
        return [replace(outcomes[0], seconds=self._seconds), *outcomes[1:]]

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The same of JSON values, for executors."""
        with one_thread(self.config.relevance):
            return [outcome.to_json() for outcome in self([Task.from_json(row) for row in rows])]

    def close(self) -> None:
        """Ends its decoders."""
        self._pool.close()
        self._threads.shutdown()

    def _times(self, task: Task) -> Clip | SampleError:
        """When the clip's frames are shown; it is made first, where it has to be cut out of something."""
        if task.error is not None:
            return error_of(task.error, task.sample.id)
        try:
            task.media.make(self._pool, task.sample.id)
            [times] = self._pool.ask(ReadRequest(task.media.path, {"frame_fps": task.sample.frame_fps}, task.sample.id, "times"))
        except SampleError as error:
            return error
        return times

    def _checked(self, task: Task, times: Clip | SampleError) -> Opened | Outcome:
        """What stands the rules, with its frames on their way: those of V where their times are known by now, else those at the base rate."""
        if isinstance(times, SampleError):
            return Outcome.rejected(task, times)
        if times.assumed:
            logger.warning(NOT_ITS_OWN_TIMES, task.sample.id, times.assumed)
        grid_s, share = times.t_s, None
        with self._timed("validate"):
            sample, dropped = validate(task.sample, _end_s(grid_s), self.config.validate)
        if dropped and not (sample.caption or sample.questions or sample.spans):
            reasons = "; ".join(dict.fromkeys(f"{item.rule}: {item.reason}" for item in dropped))
            return Outcome.rejected(task, SampleError(f"nothing that was said of it stands the rules ({reasons})"), dropped)
        view: dict[str, Any] = {"fps": self.config.fps}
        if sample.t_s:
            view = {"t_s": list(sample.t_s)}
        elif sample.spans:
            t_s, share = self._rare(grid_s, sample.spans)
            view = {"t_s": t_s.tolist()}
        views = [{**view, "max_frames": self.config.max_frames}]
        if self._compares:
            views.append({"num_frames": fingerprints.num_frames(_end_s(grid_s) - float(grid_s[0]))})
        return Opened(task, sample, dropped, grid_s, times.assumed, share, self._threads.submit(self._read, task, views))

    def _read(self, task: Task, views: Sequence[dict[str, Any]]) -> list[Clip]:
        options = {"views": views, "size_px": self._scorer.size_px, "frame_fps": task.sample.frame_fps}
        return self._pool.ask(ReadRequest(task.media.path, options, task.sample.id, "views"))

    def _outcome(self, clip: Opened, keywords: tuple[str, ...]) -> Outcome:
        sample, path = clip.sample, clip.task.media.path
        keywords = sample.keywords or keywords
        if self._scorer.needs_keywords and not keywords:
            raise SampleError("no keyword in its caption, questions or events, and this relevance backend needs one; add a caption", path=path)
        first, *rest = clip.clips.result()
        scored, share = self._scored(self._described(first), keywords), clip.share
        if not sample.t_s and share is None:
            scored, share = self._made_rare(clip, scored, keywords)
        found = self._located(scored, sample.spans, sample.seed)
        hashes, motion = self._fingerprint(rest)
        with self._timed("write"):
            with reading(path):
                sha256 = sample.sha256 or content_hash(path)
            place(Path(path), Path(self.config.output) / "media" / sample.video)
        made = replace(
            sample,
            video=f"media/{sample.video}",
            sha256=sha256,
            t_s=tuple(scored.t_s.tolist()),
            keywords=keywords,
            scores=tuple(scored.scores.tolist()),
            keyframes_idx=tuple(found.keyframes_idx.tolist()),
            degradation=found.degradation,
            tags={**sample.tags, "times": "assumed"} if clip.assumed else sample.tags,
            event_share=share or _share(scored.t_s, sample.spans),
        )
        return Outcome(sample.id, path, made, None, clip.dropped, hashes, motion)

    def _keywords(self, samples: Sequence[Sample]) -> list[tuple[str, ...]]:
        """Of each sample that brings none: those of caption, questions with their answers, and event labels, without repetition."""
        texts = [[] if sample.keywords else _texts(sample) for sample in samples]
        with self._timed("keywords"):
            if any(texts):
                self._extractor = self._extractor or load_keywords(self.config.keywords)
                found = iter(self._extractor([text for own in texts for text in own]))
            else:
                found = iter(())
            return [tuple(dict.fromkeys(keyword for _ in own for keyword in next(found))) for own in texts]

    def _described(self, clip: Clip) -> Described:
        with self._timed("describe"):
            return Described(clip.t_s, self._scorer.describe(clip.frames))

    def _scored(self, described: Described, keywords: Sequence[str]) -> Scored:
        with self._timed("score"):
            return self._scorer.score(described.records, described.t_s, keywords)

    def _located(self, scored: Scored, spans: Sequence[Span], seed: int, *, checked: bool = True) -> Located:
        """Key frames and V', which is scored anew where it is to be checked."""
        config = self.config
        with self._timed("score"):
            return locate(
                scored.scores,
                scored.t_s,
                spans=spans,
                rescore=scored.degraded if checked else None,
                operator=config.operator,
                seed=seed,
                prominence=config.prominence,
                rel_height=config.rel_height,
                literal=config.literal_keyframes,
                removed_threshold=config.removed_threshold,
            )

    def _rare(self, grid_s: np.ndarray, events: Sequence[Span]) -> tuple[np.ndarray, tuple[float, float]]:
        config = self.config
        t_s, before, after = sparse_times(grid_s, events, base_fps=config.fps, dense_fps=config.dense_fps, target_share=config.target_share)
        return t_s, (before, after)

    def _made_rare(self, clip: Opened, base: Scored, keywords: Sequence[str]) -> tuple[Scored, tuple[float, float]]:
        """The clip at the times that make its events rare, which are the runs found at the base rate; as it is where they are rare already."""
        found = self._located(base, (), clip.sample.seed, checked=False)
        share = sum(map(len, found.runs)) / len(base.t_s)
        if share <= self.config.target_share:
            return base, (share, share)
        events = [Span(float(base.t_s[run.start]), float(base.t_s[run.stop - 1])) for run in found.runs]
        t_s, shares = self._rare(clip.grid_s, events)
        if len(t_s) > self.config.max_frames:
            reason = f"{len(t_s)} frames asked for; expected at most max_frames={self.config.max_frames}. Ask for fewer, or raise it"
            raise BudgetError(reason, path=clip.task.media.path)
        return self._scored(self._at(t_s, Described(base.t_s, base.records), clip.task), keywords), shares

    def _at(self, t_s: np.ndarray, known: Described, task: Task) -> Described:
        """A clip's frames at some times; what is known of them is not decoded again."""
        place = np.minimum(np.searchsorted(known.t_s, t_s - TOLERANCE_S / 2), len(known.t_s) - 1)  # (T,) where each would be
        is_known = np.abs(known.t_s[place] - t_s) <= TOLERANCE_S / 2
        if is_known.all():
            return Described(known.t_s[place], known.records[place])
        [more] = self._read(task, [{"t_s": t_s[~is_known].tolist()}])
        fresh = self._described(more)
        times_s = np.concatenate([known.t_s[place[is_known]], fresh.t_s])
        order = np.argsort(times_s, kind="stable")
        return Described(times_s[order], np.concatenate([known.records[place[is_known]], fresh.records])[order])

    def _fingerprint(self, clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
        with self._timed("fingerprint"):
            if not clips:
                return np.empty(0, np.uint64), np.empty(0, np.int8)
            return fingerprints.fingerprint(clips[0].frames), fingerprints.motion(clips[0].frames)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Adds this thread's processor time to a phase."""
        began_s = time.thread_time()
        try:
            yield
        finally:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + time.thread_time() - began_s


def make_worker(recipe: str) -> Preparation:
    """A worker for the stage whose config lies in a file."""
    return Preparation(load(DataConfig, recipe))


@contextmanager
def one_thread(relevance: str) -> Iterator[None]:
    """Sums of a network on the processor depend on the number of threads, rows must not: networks of torch get one."""
    if relevance in ("motion", "proxy"):
        yield
        return
    import torch

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _texts(sample: Sample) -> list[str]:
    texts = [sample.caption, *(f"{q.text} {q.answer}" for q in sample.questions), *(span.label for span in sample.spans)]
    return [text for text in texts if text.strip()]


def _end_s(grid_s: np.ndarray) -> float:
    """When the last of some frames is over, source seconds."""
    return float(grid_s[-1] + (np.median(np.diff(grid_s)) if len(grid_s) > 1 else 0.0))


def _share(t_s: np.ndarray, spans: Sequence[Span]) -> tuple[float, float] | None:
    """Of a sample that brought its own times: before and after are the same."""
    if not spans:
        return None
    share = len(from_spans(t_s, spans)) / len(t_s)
    return share, share
