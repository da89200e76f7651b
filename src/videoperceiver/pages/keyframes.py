"""The page of `videoperceiver keyframes`: what was found in one video, and what V′ would be."""

from collections.abc import Mapping

from videoperceiver.pages import words
from videoperceiver.pages.clip import clip_figure
from videoperceiver.pages.figures import ClipFigure
from videoperceiver.pages.html import page, render
from videoperceiver.pages.reports import Phase
from videoperceiver.pages.timing import timing

SHOWN_KEYFRAMES = 12


def keyframes_page(clip: ClipFigure, *, seconds: Mapping[str, float] | None = None, facts: Mapping[str, object] | None = None) -> str:
    """The whole page.

    Args:
        clip: the analysis as a figure; its title names the video.
        seconds: phase -> time it took, drawn as bars; None leaves the section out.
        facts: short label -> value under the title (backends, sampling, settings).
    """
    rows = [_keyframe(clip, int(index)) for index in clip.keyframes_idx][: 4 * SHOWN_KEYFRAMES]
    body = render(
        "keyframes",
        clip=clip,
        headline=keyframes_headline(clip),
        sentences=keyframes_words(clip),
        figure=clip_figure(clip),
        rows=rows,
        more=len(clip.keyframes_idx) - len(rows),
        timing=timing([Phase(name, value) for name, value in seconds.items()]) if seconds else "",
        facts=facts or {},
    )
    return page(f"Key frames of {clip.title}", body, description=keyframes_headline(clip))


def keyframes_headline(clip: ClipFigure) -> str:
    """How many key frames there are and where."""
    if not len(clip.keyframes_idx):
        return "No key frame stands out in this video"
    moments = words.listing([words.at(clip.t_s[i]) for i in clip.keyframes_idx], 5)
    return f"{words.plural(len(clip.keyframes_idx), 'key frame')}: {moments}"


def keyframes_words(clip: ClipFigure) -> list[str]:
    """The numbers in words, a sentence each; also for the terminal."""
    text = [f"{words.plural(len(clip.t_s), 'frame')} between {words.at(clip.t_s[0])} and {words.at(clip.t_s[-1])} were looked at."]
    if len(clip.scores):
        low, high = min(clip.scores), max(clip.scores)
        text.append(f"Their relevance{' to the keywords' if clip.keywords else ''} lies between {float(low):.3f} and {float(high):.3f}.")
    if len(clip.spans) and len(clip.keyframes_idx):
        hit = [span for span in clip.spans if any(span.start_s <= clip.t_s[i] <= span.end_s for i in clip.keyframes_idx)]
        inside = sum(any(span.start_s <= clip.t_s[i] <= span.end_s for span in clip.spans) for i in clip.keyframes_idx)
        text.append(
            f"{len(hit)} of {words.plural(len(clip.spans), 'annotated event')} {'holds' if len(hit) == 1 else 'hold'} a key frame; "
            f"{inside} of {words.plural(len(clip.keyframes_idx), 'key frame')} {'lies' if inside == 1 else 'lie'} in one."
        )
    return text


def _keyframe(clip: ClipFigure, index: int) -> dict[str, object]:
    """One row of the table: when, how relevant, the run around it, what V′ shows instead."""
    run = next((run for run in clip.runs if index in run), None)
    source = int(clip.source_idx[index]) if len(clip.source_idx) else index
    shows = "unchanged" if source == index else "a blank frame" if source < 0 else f"the frame of {words.at(clip.t_s[source])}"
    return {
        "time": words.at(clip.t_s[index]),
        "score": f"{float(clip.scores[index]):.3f}" if len(clip.scores) else words.MISSING,
        "run": words.stretch(clip.t_s[run[0]], clip.t_s[run[-1]]) if run else words.MISSING,
        "shows": shows if len(clip.source_idx) else "no V′",
        "events": words.listing([span.label or "event" for span in clip.spans if span.start_s <= clip.t_s[index] <= span.end_s]) if clip.spans else "",
    }
