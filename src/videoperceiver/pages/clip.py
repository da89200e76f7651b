"""One clip as a figure: timeline over filmstrip, a sentence in words, and what models answered."""

from collections.abc import Sequence

from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.answers import answers
from videoperceiver.pages.figures import ClipFigure
from videoperceiver.pages.filmstrip import choose_columns, filmstrip, num_columns
from videoperceiver.pages.html import render
from videoperceiver.pages.records import AnsweredQuestion
from videoperceiver.pages.timeline import timeline

_OPERATOR_WORDS = {
    "predecessor": "each key frame repeats the frame before it",
    "hold": "each run around a key frame holds the last frame before it",
    "random": "as many frames at random places repeat the frame before them",
    "elsewhere": "as many frames where nothing happens repeat the frame before them",
    "shuffle": "the frames are shuffled",
    "reverse": "the frames run backwards",
    "freeze": "one frame is frozen",
    "blank": "the frames are blanked",
}


def clip_figure(clip: ClipFigure, questions: Sequence[AnsweredQuestion] | None = None) -> Markup:
    """Timeline and filmstrip of one clip on one time axis.

    Args:
        clip: what to draw.
        questions: shown in place of the clip's own.
    """
    columns = num_columns(clip.frames)
    shown = choose_columns(clip.t_s, clip.source_idx, clip.keyframes_idx, columns)
    if clip.frames_idx is not None and not set(shown) <= set(clip.frames_idx):
        shown = choose_columns(clip.t_s, clip.source_idx, clip.keyframes_idx, columns, among=clip.frames_idx)
    return render(
        "clip",
        clip=clip,
        timeline=timeline(clip.t_s, clip.scores, clip.keyframes_idx, clip.spans, clip.degraded_scores, replaced_idx=clip.replaced_idx, shown_idx=shown),
        strip=filmstrip(
            clip.frames, clip.t_s, clip.source_idx if clip.replaced_idx else (), keyframes_idx=clip.keyframes_idx, frames_idx=clip.frames_idx, columns=shown
        ),
        sentence=describe_degradation(clip),
        answers=answers(clip.answers if questions is None else questions),
    )


def describe_degradation(clip: ClipFigure) -> str:
    """What V′ is, in a sentence or two."""
    if not clip.replaced_idx:
        return "Nothing was replaced, so this clip has no V′."
    replaced = len(clip.replaced_idx)
    how = _OPERATOR_WORDS.get(clip.operator, f"operator {clip.operator}") if clip.operator else "the key frames are replaced"
    text = f"V′ replaces {replaced} of {words.plural(len(clip.t_s), 'frame')} ({words.percent(replaced / len(clip.t_s))}): {how}."
    if 2 * replaced > len(clip.t_s):
        text += " That is most of the clip, so V′ lacks more than the event."
    if clip.removed is None:
        return text
    if clip.removed:
        return f"{text} The residual check holds: scored anew, V′ has little relevance left where frames were replaced."
    return f"{text} The residual check fails: scored anew, V′ is still relevant there. Part of the event remains, or its outcome shows as a jump."
