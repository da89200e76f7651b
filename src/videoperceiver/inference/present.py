"""Answers and moments for people and programs: lines, JSON, a page."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videoperceiver.inference.perceiver import Answer, Evidence, Found
from videoperceiver.pages import Answer as Said
from videoperceiver.pages import AnsweredQuestion, ClipFigure, clip_figure, page
from videoperceiver.pages.found import moments_figure
from videoperceiver.pages.words import clean


def clock(at_s: float) -> str:
    """1:02:03.4 for people who will drag a player's slider there."""
    minutes, seconds = divmod(round(at_s, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"


def answer_lines(answer: Answer) -> list[str]:
    """The answer and what it rests on."""
    cut = "" if answer.finished else " (cut at the longest length)"
    return [clean(answer.text) + cut, *([f"  {sentence}" for sentence in evidence_words(answer)] if answer.evidence else [])]


def evidence_words(answer: Answer) -> list[str]:
    """Whether the answer changes without the key frames, in words."""
    evidence = answer.evidence
    if evidence is None:
        return []
    if evidence.degradation is None or evidence.logp is None or evidence.logp_degraded is None:
        return ["No frame stands out for this question, so there is nothing to leave out: what the answer rests on is not known."]
    times = ", ".join(clock(float(evidence.clip.t_s[i])) for i in evidence.keyframes_idx[:5]) + (", .." if len(evidence.keyframes_idx) > 5 else "")
    replaced = len(evidence.degradation.replaced_idx)
    without = f"Without the {replaced} frames around {times}"
    verdict = (
        f"the answer becomes {clean(evidence.answer)!r}: it rests on them" if evidence.changed else "the answer stays the same: it does not rest on them alone"
    )
    factor = math.exp(min(50.0, abs(evidence.logp - evidence.logp_degraded)))
    direction = "less" if evidence.logp_degraded < evidence.logp else "more"
    return [f"{without}, {verdict}. There the answer given is {factor:.2g} times {direction} probable."]


def answer_record(answer: Answer) -> dict[str, Any]:
    """For programs; times in source seconds."""
    found = {"question": answer.question, "answer": answer.text, "finished": answer.finished, "looked": _looked(answer)}
    evidence = answer.evidence
    if evidence is None:
        return found
    made = evidence.degradation
    return found | {
        "evidence": {
            "keyframes_s": [float(evidence.clip.t_s[i]) for i in evidence.keyframes_idx],
            "replaced_s": [float(evidence.clip.t_s[i]) for i in made.replaced_idx] if made else [],
            "answer_without": evidence.answer if made else None,
            "changed": evidence.changed,
            "logp": evidence.logp,
            "logp_without": evidence.logp_degraded,
        }
    }


def _looked(answer: Answer) -> dict[str, Any]:
    looked = answer.looked
    return {"num_frames": len(looked.t_s), "t_s": [round(float(t), 4) for t in looked.t_s], "length_s": looked.length_s, "focused": looked.focused}


def found_lines(found: Found, event: str) -> list[str]:
    """A line a moment, best first."""
    if not found.moments:
        return [f"Nothing in {clock(found.seen_s)} stands out for {clean(event)!r}."]
    by_model = found.moments[0].probability is not None
    rank = "probability that the model sees it" if by_model else "relevance beside the best moment's, without a model"
    lines = [f"{i}. {clock(m.start_s)} to {clock(m.end_s)}  {m.score:.2f}  (peak {clock(m.peak_s)})" for i, m in enumerate(found.moments, 1)]
    return [*lines, f"(score: {rank}; looked at all {clock(found.seen_s)}, closely at {sum(m.num_frames for m in found.moments)} frames)"]


def found_record(found: Found) -> dict[str, Any]:
    """For programs; times in source seconds."""
    fields = ("start_s", "end_s", "peak_s", "score", "relevance", "probability", "num_frames")
    return {"complete": found.complete, "seen_s": found.seen_s, "moments": [{name: getattr(m, name) for name in fields} for m in found.moments]}


def found_page(found: Found, event: str, *, title: str) -> str:
    """Pictures of the moments."""
    cards = [(m.thumbnail, f"{clock(m.start_s)} to {clock(m.end_s)}", m.score) for m in found.moments]
    return page(f"“{event}” in {title}", moments_figure(f"“{event}” in {title}", cards, found_lines(found, event)[-1]))


def answer_page(answers: Sequence[Answer]) -> str:
    """Timeline and filmstrip of what the model saw, with its answers on V and on V'."""
    evidence = answers[0].evidence
    assert evidence is not None
    asked = [_asked(answer) for answer in answers]
    title = Path(evidence.clip.source).name
    note = " ".join(f"“{clean(answer.question)}” {sentence}" for answer in answers for sentence in evidence_words(answer)[:1])
    return page(f"Questions about {title}", clip_figure(as_figure(evidence, note=note), asked))


def as_figure(evidence: Evidence, note: str = "") -> ClipFigure:
    """V over V' with the relevance curve."""
    clip, made = evidence.clip, evidence.degradation
    return ClipFigure(
        title=Path(clip.source).name,
        frames=clip.frames,
        t_s=clip.t_s.tolist(),
        scores=evidence.scores.tolist(),
        keyframes_idx=evidence.keyframes_idx.tolist(),
        source_idx=made.source_idx if made else (),
        operator=made.operator if made else "",
        removed=made.removed if made else None,
        note=note,
    )


def _asked(answer: Answer) -> AnsweredQuestion:
    said = [Said("model", answer.text, None, "V")]
    if answer.evidence and answer.evidence.degradation:
        said.append(Said("model", answer.evidence.answer, None, "V′"))
    return AnsweredQuestion(answer.question, "", tuple(said))
