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
from videoperceiver.inference.perceiver import Answer, Found, VideoPerceiver
from videoperceiver.inference.present import as_figure, clock, evidence_words, found_lines
from videoperceiver.pages import filmstrip, page
from videoperceiver.pages.clip import describe_degradation
from videoperceiver.types import Clip
from videoperceiver.video.degrade import apply
from videoperceiver.video.write import write_mp4
from videoperceiver.web.access import Access
from videoperceiver.web.curve import JUMP, curve
from videoperceiver.web.framed import framed

MAX_QUESTION_CHARS = 2000
_PLAYER_PX = 512
_STRIP_PX = 420


def ask_tab(perceiver: VideoPerceiver, access: Access) -> None:
    """Lays the tab out and wires it up."""
    with gr.Row():
        with gr.Column(scale=3):
            player = gr.Video(label="Video", sources=["upload"], elem_id="player", buttons=[], height="24rem")
            path = gr.Textbox(label="or a file on this machine", placeholder="path below the allowed folders", visible=bool(access.roots), elem_id="path")
        with gr.Column(scale=2):
            question = gr.Textbox(label="Question, or an event to find", lines=2, max_length=MAX_QUESTION_CHARS, elem_id="question")
            with gr.Row():
                ask = gr.Button("Ask", variant="primary", elem_id="ask", interactive=perceiver.has_model, min_width=90)
                find = gr.Button("Find", elem_id="find", min_width=90)
                describe = gr.Button("Describe", elem_id="describe", interactive=perceiver.has_model, min_width=90)
            answer = gr.Textbox(label="Answer", lines=3, max_lines=12, interactive=False, elem_id="answer")
            words = gr.Textbox(label="What it rests on", lines=2, max_lines=8, interactive=False, elem_id="evidence")
    figure = gr.HTML(js_on_load=JUMP, css_template="", elem_id="curve")
    moments = gr.Gallery(label="Moments", columns=5, height="auto", visible=False, elem_id="moments", buttons=[])
    strip = gr.HTML(elem_id="strip")
    with gr.Row(visible=False) as twins:
        with gr.Column():
            full = gr.Video(label="V: what the model saw", interactive=False, elem_id="player-full", buttons=[], height="18rem")
            answer_full = gr.Textbox(label="Answer on V", interactive=False, elem_id="answer-full")
        with gr.Column():
            degraded = gr.Video(label="V′: the key frames are held", interactive=False, elem_id="player-degraded", buttons=[], height="18rem")
            answer_degraded = gr.Textbox(label="Answer on V′", interactive=False, elem_id="answer-degraded")
    shown = {"answer": answer, "words": words, "figure": figure, "moments": moments, "twins": twins}
    shown |= {"full": full, "answer_full": answer_full, "degraded": degraded, "answer_degraded": answer_degraded, "strip": strip}
    given, outputs = [player, path, question], list(shown.values())
    handlers = {ask: _asked, find: _found, describe: _described}
    for button, handler in handlers.items():
        button.click(_safely(handler, perceiver, access, shown), given, outputs, show_progress="minimal", concurrency_id="model", concurrency_limit=1)
    question.submit(_safely(_asked if perceiver.has_model else _found, perceiver, access, shown), given, outputs, concurrency_id="model")
    path.submit(_opener(access), path, [player, answer])


Updates = dict[str, Any]


def _safely(handler: Callable[..., Iterator[Updates]], perceiver: VideoPerceiver, access: Access, shown: dict[str, Any]) -> Callable[..., Iterator[list[Any]]]:
    """Every answer starts from an empty page; an error becomes its words in the answer box, as plain text."""
    empty = {"answer": "", "words": "", "figure": "", "moments": gr.update(value=[], visible=False), "twins": gr.update(visible=False)}
    empty |= {"full": None, "answer_full": "", "degraded": None, "answer_degraded": "", "strip": ""}

    def run(uploaded: str | None, path: str, question: str) -> Iterator[list[Any]]:
        yield [({**empty, "answer": "Looking .."})[name] for name in shown]
        try:
            video = access.video(_chosen(uploaded, path, access))
            for updates in handler(perceiver, video, (question or "")[:MAX_QUESTION_CHARS].strip()):
                yield [updates.get(name, gr.skip()) for name in shown]
        except (VideoPerceiverError, OSError) as error:
            yield [({**empty, "answer": f"{error}"})[name] for name in shown]

    return run


def _chosen(uploaded: str | None, path: str, access: Access) -> Path:
    if path and path.strip():
        return access.path(path)
    if uploaded:
        return Path(uploaded)
    raise SampleError("no video yet; upload one" + (", or name a file on this machine" if access.roots else ""))


def _opener(access: Access) -> Callable[[str], tuple[Any, str]]:
    def show(path: str) -> tuple[Any, str]:
        try:
            return str(access.video(access.path(path))), ""
        except (VideoPerceiverError, OSError) as error:
            return None, str(error)

    return show


def _asked(perceiver: VideoPerceiver, video: Path, question: str) -> Iterator[Updates]:
    [answer] = perceiver.ask(video, question, explain=True)
    said = answer.text if answer.finished else f"{answer.text} .. (cut at the longest length)"
    yield {"answer": said, "words": f"{' '.join(evidence_words(answer))}\n({answer.looked})", "figure": _evidence_curve(answer)}
    evidence = answer.evidence
    if evidence is None or evidence.degradation is None:
        return
    folder, seen = Path(tempfile.mkdtemp()), _small(evidence.clip)
    videos = {"full": str(write_mp4(seen, folder / "V.mp4")), "degraded": str(write_mp4(apply(seen, evidence.degradation), folder / "V-degraded.mp4"))}
    figure = as_figure(evidence)
    strip = filmstrip(figure.frames, figure.t_s, figure.source_idx, keyframes_idx=figure.keyframes_idx)
    html = page("V and V′", strip + Markup("<p class='words'>{}</p>").format(describe_degradation(figure)))
    yield {
        "twins": gr.update(visible=True),
        **videos,
        "answer_full": answer.text,
        "answer_degraded": evidence.answer,
        "strip": framed(html, height_px=_STRIP_PX),
    }


def _evidence_curve(answer: Answer) -> str:
    evidence = answer.evidence
    if evidence is None:
        return ""
    t_s = evidence.clip.t_s
    return curve(t_s.tolist(), evidence.scores.tolist(), [float(t_s[i]) for i in evidence.keyframes_idx], label="Key frames")


def _found(perceiver: VideoPerceiver, video: Path, event: str) -> Iterator[Updates]:
    for found in perceiver.find(video, event):
        yield _found_updates(found, event)


def _found_updates(found: Found, event: str) -> Updates:
    survey, pictures = found.survey, [(m.thumbnail, f"{clock(m.start_s)} to {clock(m.end_s)} · {m.score:.2f}") for m in found.moments]
    drawn = curve(survey.t_s, survey.scores, [m.peak_s for m in found.moments], [(m.start_s, m.end_s) for m in found.moments], label="Moments")
    progress = "" if found.complete else f"Seen up to {clock(found.seen_s)}, so far:\n"
    return {"answer": progress + "\n".join(found_lines(found, event)), "figure": drawn, "moments": gr.update(value=pictures, visible=bool(pictures))}


def _described(perceiver: VideoPerceiver, video: Path, _: str) -> Iterator[Updates]:
    lines = []
    for part in perceiver.describe(video):
        lines.append(f"{clock(part.start_s)} to {clock(part.end_s)}  {part.text}")
        yield {"answer": "\n".join(lines)}


def _small(clip: Clip) -> Clip:
    """The clip at a player's size."""
    height, width = clip.frames.shape[1:3]
    if max(height, width) <= _PLAYER_PX:
        return clip
    size = (round(width * _PLAYER_PX / max(height, width)), round(height * _PLAYER_PX / max(height, width)))
    return Clip(np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BILINEAR)) for f in clip.frames]), clip.t_s, clip.source)
