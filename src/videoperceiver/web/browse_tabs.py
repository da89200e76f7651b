"""Two tabs to browse: a run (curves, samples, wrong answers) and a manifest (filmstrips, questions, accept or reject)."""

import json
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from videoperceiver.data import manifest, reviews
from videoperceiver.errors import VideoPerceiverError
from videoperceiver.evaluation.figures import figure_of
from videoperceiver.evaluation.report import build_report
from videoperceiver.pages import AnsweredQuestion, clip_figure, page
from videoperceiver.types import Sample
from videoperceiver.video.read import read_clip
from videoperceiver.web.access import Access
from videoperceiver.web.framed import framed

_THUMBNAIL_PX = 176
_HEIGHT_PX = 900


def run_tab(access: Access) -> None:
    """A run's own report, in a frame."""
    with gr.Row():
        chosen = gr.Dropdown(access.runs(), value=None, label="Run", elem_id="run", allow_custom_value=False, scale=5)
        again = gr.Button("Look again", scale=1)
    trouble = gr.Textbox(label="What is wrong", visible=False, interactive=False)
    report = gr.HTML(elem_id="run-report")

    def show(folder: str | None) -> tuple[Any, str]:
        if not folder:
            return gr.update(visible=False), ""
        try:
            run = access.path(folder)
            with tempfile.TemporaryDirectory() as out:
                build_report([run], Path(out))
                html = (Path(out) / "report.html").read_text(encoding="utf-8")
        except (VideoPerceiverError, OSError) as error:
            return gr.update(visible=True, value=str(error)), ""
        return gr.update(visible=False), framed(html, height_px=_HEIGHT_PX, title="report of the run")

    chosen.change(show, chosen, [trouble, report])
    again.click(lambda: gr.update(choices=access.runs()), None, chosen)


def manifest_tab(access: Access) -> None:
    """Sample by sample: what the model sees, what is asked, and a verdict that is written back."""
    with gr.Row():
        chosen = gr.Dropdown(access.manifests(), value=None, label="Manifest", elem_id="manifest", scale=4)
        number = gr.Number(1, label="Sample", minimum=1, precision=0, elem_id="sample", scale=1)
    title = gr.Textbox(label="Sample", interactive=False, elem_id="sample-words", lines=2)
    with gr.Row():
        reason = gr.Textbox(label="Reason", max_length=500, elem_id="reason", scale=4)
        accept = gr.Button("Accept", elem_id="accept", scale=1)
        reject = gr.Button("Reject", elem_id="reject", scale=1, variant="stop")
    strip = gr.HTML(elem_id="sample-strip")

    def show(path: str | None, index: float) -> tuple[str, str]:
        if not path:
            return "", ""
        try:
            return _sample(access.path(path), int(index or 1) - 1)
        except (VideoPerceiverError, OSError) as error:
            return str(error), ""

    def judge(verdict: reviews.Verdict):
        def write(path: str | None, index: float, why: str) -> tuple[str, str, Any, str]:
            if not path:
                return "", "", gr.skip(), why
            try:
                where = access.path(path)
                samples = manifest.read(where)
                at = min(max(int(index or 1), 1), len(samples))
                reviews.write(where, samples[at - 1].id, verdict, why)
                after = min(at + 1, len(samples))
                return *_sample(where, after - 1), after, ""
            except (VideoPerceiverError, OSError) as error:
                return str(error), "", gr.skip(), why

        return write

    chosen.change(show, [chosen, number], [title, strip])
    number.change(show, [chosen, number], [title, strip])
    accept.click(judge("accepted"), [chosen, number, reason], [title, strip, number, reason])
    reject.click(judge("rejected"), [chosen, number, reason], [title, strip, number, reason])


def _sample(path: Path, index: int) -> tuple[str, str]:
    """Words and filmstrip of one sample."""
    samples = manifest.read(path)
    sample = samples[min(max(index, 0), len(samples) - 1)]
    clip = read_clip(manifest.resolve(path, sample), t_s=sample.t_s, size_px=_THUMBNAIL_PX, frame_fps=sample.frame_fps)
    asked = [AnsweredQuestion(q.text, q.answer, ()) for q in sample.questions]
    html = page(sample.id, clip_figure(figure_of(sample, clip), asked))
    return _words(sample, index, len(samples)), framed(html, height_px=_HEIGHT_PX, title=f"sample {sample.id}")


def _words(sample: Sample, index: int, of: int) -> str:
    verdict = reviews.of(sample)
    said = f" · {verdict}" + (f": {sample.tags[reviews.REASON]}" if sample.tags.get(reviews.REASON) else "") if verdict else " · not reviewed"
    first = f"{min(max(index, 0), of - 1) + 1} of {of} · {sample.id} · split {sample.split}{said}"
    return f"{first}\n{sample.caption or 'no caption'} · tags {json.dumps(dict(sample.tags))[:300]}"
