"""One clip through stage 0: what carries its event, what V' shows instead, and how rare the event is made (paper 3.1)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from videoperceiver.data.locate import Located, locate
from videoperceiver.data.pixels import content_hash
from videoperceiver.errors import SampleError
from videoperceiver.scoring.keywords import KeywordExtractor
from videoperceiver.scoring.relevance import RelevanceScorer, Scored
from videoperceiver.stages import DataConfig
from videoperceiver.types import Clip, Sample, Span
from videoperceiver.video.keyframes import from_spans
from videoperceiver.video.pool import DecodePool, ReadRequest
from videoperceiver.video.read import frame_times
from videoperceiver.video.sparsify import sparse_times


@dataclass
class Preparation:
    """The stage's tools.

    Attributes:
        config: of the stage.
        pool: decodes in processes that can be killed.
        extract: texts -> keywords.
        scorer: frames and keywords -> relevance.
    """

    config: DataConfig
    pool: DecodePool
    extract: KeywordExtractor
    scorer: RelevanceScorer

    def prepare(self, clips: Sequence[tuple[Sample, Path]]) -> Iterator[Sample | SampleError]:
        """A manifest row, or the reason why there is none, for each clip, in order; decoding runs ahead."""
        requests = (self._request(path, sample, sample.t_s) for sample, path in clips)
        for (sample, path), read in zip(clips, self.pool.read(requests), strict=True):
            if isinstance(read, SampleError):
                yield read
                continue
            try:
                yield self._row(sample, path, read)
            except SampleError as error:
                yield error

    def _request(self, path: Path, sample: Sample, t_s: Sequence[float]) -> ReadRequest:
        sampling = {"t_s": list(t_s)} if len(t_s) else {"fps": self.config.fps}
        options = {"size_px": self.scorer.size_px, "max_frames": self.config.max_frames, "frame_fps": sample.frame_fps}
        return ReadRequest(str(path), {**sampling, **options}, sample.id)

    def _row(self, sample: Sample, path: Path, clip: Clip) -> Sample:
        keywords = sample.keywords or self._keywords(sample)
        if self.scorer.needs_keywords and not keywords:
            raise SampleError(
                "no keyword in its caption, questions or events, and this relevance backend needs one; add a caption", path=str(path), sample_id=sample.id
            )
        share = None
        if not sample.t_s:
            clip, share = self._sparsify(sample, path, clip, keywords)
        scored = self._score(clip, keywords)
        found = self._locate(scored, sample.spans, sample.seed)
        return replace(
            sample,
            video=f"media/{sample.video}",
            sha256=sample.sha256 or content_hash(path),
            t_s=tuple(clip.t_s.tolist()),
            keywords=tuple(keywords),
            scores=tuple(scored.scores.tolist()),
            keyframes_idx=tuple(found.keyframes_idx.tolist()),
            degradation=found.degradation,
            tags={**sample.tags, "times": "assumed"} if clip.assumed else sample.tags,
            event_share=share or self._share(clip.t_s, sample.spans),
        )

    def _keywords(self, sample: Sample) -> tuple[str, ...]:
        """Keywords of caption, questions with their answers, and event labels, without repetition."""
        texts = [sample.caption, *(f"{q.text} {q.answer}" for q in sample.questions), *(span.label for span in sample.spans)]
        texts = [text for text in texts if text.strip()]
        return tuple(dict.fromkeys(keyword for found in self.extract(texts) for keyword in found)) if texts else ()

    def _score(self, clip: Clip, keywords: Sequence[str]) -> Scored:
        return self.scorer.score(self.scorer.describe(clip.frames), clip.t_s, keywords)

    def _locate(self, scored: Scored, spans: Sequence[Span], seed: int) -> Located:
        config = self.config
        return locate(
            scored.scores,
            scored.t_s,
            spans=spans,
            rescore=scored.degraded,
            operator=config.operator,
            seed=seed,
            prominence=config.prominence,
            rel_height=config.rel_height,
            literal=config.literal_keyframes,
            removed_threshold=config.removed_threshold,
        )

    def _sparsify(self, sample: Sample, path: Path, clip: Clip, keywords: Sequence[str]) -> tuple[Clip, tuple[float, float]]:
        """The clip read again at the times that make its events rare; events are the annotated spans, or else the runs found at the base rate."""
        events = list(sample.spans)
        if not events:
            found = self._locate(self._score(clip, keywords), (), sample.seed)
            events = [Span(float(clip.t_s[run.start]), float(clip.t_s[run.stop - 1])) for run in found.runs]
        t_s, before, after = sparse_times(
            frame_times(path, frame_fps=sample.frame_fps),
            events,
            base_fps=self.config.fps,
            dense_fps=self.config.dense_fps,
            target_share=self.config.target_share,
        )
        [again] = self.pool.read([self._request(path, sample, t_s.tolist())])
        if isinstance(again, SampleError):
            raise again
        return again, (before, after)

    def _share(self, t_s: np.ndarray, spans: Sequence[Span]) -> tuple[float, float] | None:
        """The share of a sample that brought its own times: before and after are the same."""
        if not spans:
            return None
        share = len(from_spans(t_s, spans)) / len(t_s)
        return share, share
