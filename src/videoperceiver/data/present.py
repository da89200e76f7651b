"""A key-frame analysis for people and programs: as a figure, as lines, as JSON; and a sample of a manifest as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videoperceiver.data.keyframes import KeyframeAnalysis
from videoperceiver.pages import AnsweredQuestion, ClipFigure, words
from videoperceiver.pages.keyframes import keyframes_headline, keyframes_words
from videoperceiver.types import Clip, Sample
from videoperceiver.video.degrade import replacements


def as_figure(found: KeyframeAnalysis) -> ClipFigure:
    """For `pages.keyframes_page`."""
    made = found.degradation
    return ClipFigure(
        title=Path(found.source).name,
        frames=found.thumbnails,
        frames_idx=found.thumbnails_idx.tolist(),
        t_s=found.t_s.tolist(),
        scores=found.scores.tolist(),
        degraded_scores=found.degraded_scores.tolist(),
        keyframes_idx=found.keyframes_idx.tolist(),
        runs=found.runs,
        spans=found.spans,
        source_idx=made.source_idx if made else (),
        operator=made.operator if made else "",
        removed=made.removed if made else None,
        keywords=found.keywords,
        relevance=found.relevance,
    )


def figure_of(
    sample: Sample,
    clip: Clip,
    *,
    frames_idx: Sequence[int] | None = None,
    title: str = "",
    note: str = "",
    relevance: str = "",
    answers: Sequence[AnsweredQuestion] = (),
) -> ClipFigure:
    """A sample and its frames as one figure.

    Args:
        sample: times, scores, key frames, spans and V′ are taken from it.
        clip: the sample's frames, at any size.
        frames_idx: which of them the clip has; None: all.
        title: the sample's id if empty.
        note: a line under the title.
        relevance: name of the backend that measured the scores.
        answers: shown below.
    """
    made = sample.degradation
    return ClipFigure(
        title=title or f"Sample {sample.id}",
        frames=clip.frames,
        frames_idx=frames_idx,
        t_s=sample.t_s,
        scores=sample.scores,
        keyframes_idx=sample.keyframes_idx,
        spans=sample.spans,
        source_idx=made.source_idx if made else (),
        operator=made.operator if made else "",
        removed=made.removed if made else None,
        keywords=sample.keywords,
        relevance=relevance,
        note=note,
        answers=answers,
    )


def as_lines(found: KeyframeAnalysis) -> list[str]:
    """For the terminal: what was measured, the key frames, and what V' shows in their place."""
    figure = as_figure(found)
    keywords = f"keywords: {', '.join(found.keywords)}" if found.keywords else "no keywords: relevance looks at the pixels alone"
    lines = [f"{keyframes_headline(figure)}.", *keyframes_words(figure), f"{keywords}; relevance: {found.relevance}."]
    if found.degradation is None:
        return [*lines, "Nothing would be replaced, so this video has no V'."]
    for part in replacements(found.degradation, found.t_s):
        shown = "a blank frame" if part.from_s is None else f"the frame of {words.at(part.from_s)}"
        lines.append(f"V' ({found.degradation.operator}): {words.stretch(part.start_s, part.end_s)} shows {shown}.")
    if found.degradation.removed is not None:
        verdict = "has no event there any more" if found.degradation.removed else "STILL SHOWS that something happens there"
        lines.append(f"V', scored anew, {verdict}: its replaced frames reach {found.degradation.residual:.3g}, those of V {max(found.scores):.3g}.")
    return lines


def as_record(found: KeyframeAnalysis) -> dict[str, Any]:
    """For programs; times in source seconds, indices into `t_s`."""
    made = found.degradation
    return {
        "video": found.source,
        "keywords": list(found.keywords),
        "keywords_backend": found.keywords_backend,
        "relevance": found.relevance,
        "t_s": found.t_s.tolist(),
        "scores": [round(float(score), 6) for score in found.scores],
        "keyframes": [{"idx": int(i), "t_s": float(found.t_s[i]), "score": round(float(found.scores[i]), 6)} for i in found.keyframes_idx],
        "runs": [{"start_s": float(found.t_s[run.start]), "end_s": float(found.t_s[run.stop - 1])} for run in found.runs],
        "degradation": None
        if made is None
        else {
            "operator": made.operator,
            "seed": made.seed,
            "source_idx": list(made.source_idx),
            "replaced": [{"start_s": r.start_s, "end_s": r.end_s, "num_frames": r.num_frames, "from_s": r.from_s} for r in replacements(made, found.t_s)],
            "residual": made.residual,
            "change": made.change,
            "removed": made.removed,
        },
        "seconds": {phase: round(value, 3) for phase, value in found.seconds.items()},
    }
