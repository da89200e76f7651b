"""The first tab: a video, a question; the answer, what it rests on, and where to look."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from markupsafe import Markup
from PIL import Image

from videoperceiver.errors import SampleError, VideoPerceiverError
from videoperceiver.inference.perceiver import MAX_WORDS_CHARS, Answer, VideoPerceiver
from videoperceiver.inference.present import as_figure
from videoperceiver.pages import filmstrip, page
from videoperceiver.pages.clip import describe_degradation
from videoperceiver.runs import explain
from videoperceiver.types import Clip
from videoperceiver.video.degrade import apply
from videoperceiver.video.write import write_mp4
from videoperceiver.web import cards
from videoperceiver.web.access import Access
from videoperceiver.web.curve import JUMP, curve
from videoperceiver.web.framed import framed

_PLAYER_PX = 512
_STRIP_PX = 380


def ask_tab(perceiver: VideoPerceiver, access: Access) -> None:
    """Lays the tab out and wires it up."""
    answers = perceiver.has_model
    with gr.Row(elem_id="stage"):
        with gr.Column(scale=3, min_width=320):
            player = gr.Video(label="Video", show_label=False, sources=["upload"], elem_id="player", buttons=[], height="24rem")
            figure = gr.HTML(js_on_load=JUMP, css_template="", elem_id="curve")
            path = gr.Textbox(label="Or a file on this machine", placeholder="path below the allowed folders", visible=bool(access.roots), elem_id="path")
        with gr.Column(scale=2, min_width=320):
            hint = "What colour is the cup?  /  a cup falls" if answers else "a cup falls"
            title = "Question, or an event to find" if answers else "Event to find"
            question = gr.Textbox(label=title, placeholder=hint, lines=1, max_lines=4, max_length=MAX_WORDS_CHARS, elem_id="question")
            with gr.Row(elem_id="verbs"):
                ask = gr.Button("Ask", variant="primary" if answers else "secondary", elem_id="ask", interactive=answers, min_width=80)
                find = gr.Button("Find", variant="secondary" if answers else "primary", elem_id="find", min_width=80)
                describe = gr.Button("Describe", elem_id="describe", interactive=answers, min_width=80)
                stop = gr.Button("Stop", elem_id="stop", visible=False, min_width=80)
            result = gr.HTML(cards.empty(has_model=answers), elem_id="result", css_template="")
    with gr.Row(elem_id="twins"):  # page.css hides it while it is empty
        with gr.Column(min_width=280):
            full = gr.Video(label="V: what the model saw", interactive=False, elem_id="player-full", buttons=[], height="18rem")
            answer_full = gr.HTML(elem_id="answer-full", css_template="")
        with gr.Column(min_width=280):
            degraded = gr.Video(label="V′: the key frames are held", interactive=False, elem_id="player-degraded", buttons=[], height="18rem")
            answer_degraded = gr.HTML(elem_id="answer-degraded", css_template="")
    strip = gr.HTML(elem_id="strip", css_template="")
    shown = {"result": result, "figure": figure, "full": full, "answer_full": answer_full, "degraded": degraded}
    shown |= {"answer_degraded": answer_degraded, "strip": strip, "stop": stop}
    given, outputs = [player, path, question], list(shown.values())
    options: dict[str, Any] = {"show_progress": "minimal", "show_progress_on": result, "concurrency_id": "model", "concurrency_limit": 1}
    verbs = {"ask": (ask.click, _asked), "find": (find.click, _found), "describe": (describe.click, _described)}
    verbs["enter"] = question.submit, _asked if answers else _found
    running: Any = [act(_safely(handler, perceiver, access, list(shown)), given, outputs, api_name=name, **options) for name, (act, handler) in verbs.items()]
    stop.click(lambda: gr.update(visible=False), None, stop, cancels=running, queue=False)  # what was said so far stays
    path.submit(_opener(access), path, [player, result])


Updates = dict[str, Any]


def _safely(handler: Callable[..., Iterator[Updates]], perceiver: VideoPerceiver, access: Access, names: list[str]) -> Callable[..., Iterator[list[Any]]]:
    """Every answer starts from an empty page; an error becomes its words in the answer's place, as plain text.

    A tab that is closed, or Stop, closes the iterator between two items, and with it the handler's: the next in the queue has its turn.
    """
    nothing = {"figure": "", "full": None, "answer_full": "", "degraded": None, "answer_degraded": "", "strip": ""}

    def run(uploaded: str | None, path: str, question: str) -> Iterator[list[Any]]:
        first = {**nothing, "result": cards.looking(), "stop": gr.update(visible=True)}
        yield [first[name] for name in names]
        last: Updates = {"stop": gr.update(visible=False)}
        try:
            video = access.video(_chosen(uploaded, path, access))
            for updates in handler(perceiver, video, question or ""):
                yield [updates.get(name, gr.skip()) for name in names]
        except VideoPerceiverError as error:
            last |= {**nothing, "result": cards.failed(str(error))}
        except OSError as error:
            last |= {**nothing, "result": cards.failed(explain(error, Path(error.filename or ".")))}
        yield [last.get(name, gr.skip()) for name in names]

    return run


def _chosen(uploaded: str | None, path: str, access: Access) -> Path:
    if path and path.strip():
        return access.path(path)
    if uploaded:
        return Path(uploaded)
    raise SampleError("no video yet; upload one" + (", or name a file on this machine" if access.roots else ""))


def _opener(access: Access) -> Callable[[str], tuple[Any, Any]]:
    def show(path: str) -> tuple[Any, Any]:
        try:
            return str(access.video(access.path(path))), gr.skip()
        except VideoPerceiverError as error:
            return None, cards.failed(str(error))

    return show


def _asked(perceiver: VideoPerceiver, video: Path, question: str) -> Iterator[Updates]:
    answer = None
    for said in perceiver.stream(video, question, explain=True):
        yield {"result": cards.looking(said)}
        answer = next(iter(said.answers), None)
    assert answer is not None
    yield {"result": cards.answered(answer), "figure": _evidence_curve(answer)}
    if answer.evidence is None or answer.evidence.degradation is None:
        return
    try:
        yield _twins(answer)
    except OSError as error:  # the answer stands without its pictures
        yield {"result": cards.answered(answer, f"V and V′ cannot be shown: {explain(error, Path(error.filename or tempfile.gettempdir()))}")}


def _twins(answer: Answer) -> Updates:
    """V and V' as films with the answer on each, and side by side as pictures."""
    evidence = answer.evidence
    assert evidence is not None
    assert evidence.degradation is not None
    folder, seen = Path(tempfile.mkdtemp()), _small(evidence.clip)
    videos = {"full": str(write_mp4(seen, folder / "V.mp4")), "degraded": str(write_mp4(apply(seen, evidence.degradation), folder / "V-degraded.mp4"))}
    figure = as_figure(evidence)
    strip = filmstrip(figure.frames, figure.t_s, figure.source_idx, keyframes_idx=figure.keyframes_idx)
    html = page("V and V′", strip + Markup("<p class='words'>{}</p>").format(describe_degradation(figure)))
    answers = {"answer_full": cards.on_twin("Answer on V", answer.text), "answer_degraded": cards.on_twin("Answer on V′", evidence.answer)}
    return {**videos, **answers, "strip": framed(html, height_px=_STRIP_PX, title="V over V′")}


def _evidence_curve(answer: Answer) -> str:
    evidence = answer.evidence
    if evidence is None:
        return ""
    t_s = evidence.clip.t_s
    replaced = evidence.degradation.replaced_idx if evidence.degradation else ()
    stretches = [(float(t_s[i]), float(t_s[min(i + 1, len(t_s) - 1)])) for i in replaced]
    return curve(t_s, evidence.scores, [float(t_s[i]) for i in evidence.keyframes_idx], stretches, label="Key frames")


def _found(perceiver: VideoPerceiver, video: Path, event: str) -> Iterator[Updates]:
    for found in perceiver.find(video, event):
        survey, moments = found.survey, found.moments
        drawn = curve(survey.t_s, survey.scores, [m.peak_s for m in moments], [(m.start_s, m.end_s) for m in moments], label="Moments")
        yield {"result": cards.ranked(found, event), "figure": drawn}


def _described(perceiver: VideoPerceiver, video: Path, _: str) -> Iterator[Updates]:
    done = []
    for part in perceiver.describe(video, partial=True):
        yield {"result": cards.described([*done, part])}
        done += [part] if part.complete else []


def _small(clip: Clip) -> Clip:
    """The clip at a player's size."""
    height, width = clip.frames.shape[1:3]
    if max(height, width) <= _PLAYER_PX:
        return clip
    size = (round(width * _PLAYER_PX / max(height, width)), round(height * _PLAYER_PX / max(height, width)))
    return Clip(np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BILINEAR)) for f in clip.frames]), clip.t_s, clip.source)
