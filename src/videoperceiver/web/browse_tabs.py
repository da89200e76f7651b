"""Two tabs to browse: a run (curves, samples, wrong answers) and a manifest (filmstrips, questions, accept or reject, what was left out)."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from videoperceiver.data import manifest, reviews
from videoperceiver.data.present import figure_of
from videoperceiver.errors import SampleError, VideoPerceiverError
from videoperceiver.evaluation.report import build_report
from videoperceiver.pages import AnsweredQuestion, clip_figure, page
from videoperceiver.pages.words import shorten
from videoperceiver.runs import explain
from videoperceiver.video.read import read_clip
from videoperceiver.web import cards
from videoperceiver.web.access import Access
from videoperceiver.web.framed import framed

DROPPED = "dropped.jsonl"
_MOST_DROPPED = 100
_TEXT_CHARS, _CAPTION_CHARS = 300, 4000
_THUMBNAIL_PX = 176
_HEIGHT_PX = 900
_NO_RUN = "No run chosen. Any run folder below a --root can be looked at here: its curves, samples and wrong answers."

_NO_MANIFEST = "No manifest chosen. Any .parquet or manifest*.jsonl below a --root can be reviewed here."


def run_tab(tab: gr.Tab, access: Access) -> None:
    """A run's own report, in a frame."""
    chosen = gr.Dropdown(access.runs(), value=None, label="Run", elem_id="run", allow_custom_value=False)
    report = gr.HTML(cards.note(_NO_RUN), elem_id="run-report", css_template="")

    def show(folder: str | None) -> Any:
        if not folder:
            return cards.note(_NO_RUN)
        with tempfile.TemporaryDirectory() as out:
            build_report([access.path(folder)], Path(out))
            html = (Path(out) / "report.html").read_text(encoding="utf-8")
        return framed(html, height_px=_HEIGHT_PX, title="report of the run")

    chosen.change(_told(show), chosen, report)
    tab.select(lambda: gr.update(choices=access.runs()), None, chosen)


def manifest_tab(tab: gr.Tab, access: Access) -> None:
    """Sample by sample: what the model sees, what is asked, what was left out and why, and a verdict that is written back."""
    with gr.Row(elem_id="pick"):
        chosen = gr.Dropdown(access.manifests(), value=None, label="Manifest", elem_id="manifest", scale=6, min_width=280)
        number = gr.Number(1, label="Sample", minimum=1, precision=0, elem_id="sample", scale=1, min_width=90)
    words = gr.HTML(cards.note(_NO_MANIFEST), elem_id="sample-words", css_template="")
    with gr.Row(elem_id="verdict"):
        reason = gr.Textbox(label="Reason", placeholder="needed to reject", max_length=500, elem_id="reason", scale=6, min_width=280)
        accept = gr.Button("Accept", elem_id="accept", scale=1, min_width=110)
        reject = gr.Button("Reject", elem_id="reject", scale=1, min_width=110, variant="stop")
    strip = gr.HTML(elem_id="sample-strip", css_template="")
    left_out = gr.HTML(elem_id="left-out", css_template="")
    outputs = [words, strip, left_out, number, reason]

    def show(path: str | None, index: float) -> tuple[Any, ...]:
        where = access.path(path or "")
        return *_sample(where, int(index or 1)), gr.skip(), gr.skip()

    def judge(verdict: reviews.Verdict) -> Callable[..., tuple[Any, ...]]:
        def write(path: str | None, index: float, why: str) -> tuple[Any, ...]:
            where = access.path(path or "")
            samples = manifest.read(where)
            at = min(max(int(index or 1), 1), len(samples))
            reviews.write(where, samples[at - 1].id, verdict, why)
            after = min(at + 1, len(samples))
            return *_sample(where, after), after, ""

        return write

    given = [chosen, number]
    chosen.input(_told(lambda path: (*show(path, 1)[:3], 1, ""), outputs), chosen, outputs)
    number.input(_told(show, outputs), given, outputs)
    accept.click(_told(judge("accepted"), outputs), [*given, reason], outputs)
    reject.click(_told(judge("rejected"), outputs), [*given, reason], outputs)
    tab.select(lambda: gr.update(choices=access.manifests()), None, chosen)


def _told(handler: Callable[..., Any], outputs: list[Any] | None = None) -> Callable[..., Any]:
    """An error becomes its words in the first output; the others stay."""

    def run(*given: Any) -> Any:
        try:
            return handler(*given)
        except VideoPerceiverError as error:
            told = cards.failed(str(error))
        except OSError as error:
            told = cards.failed(explain(error, Path(error.filename or ".")))
        return told if outputs is None else (told, *[gr.skip() for _ in outputs[1:]])

    return run


def _sample(path: Path, number: int) -> tuple[Any, Any, Any]:
    """Words, filmstrip, and what was left out, of one sample, counted from 1."""
    samples = manifest.read(path)
    if not samples:
        raise SampleError("holds no sample", path=str(path))
    at = min(max(number, 1), len(samples))
    sample = samples[at - 1]
    done = sum(bool(reviews.of(s)) for s in samples)
    first = f"{at} of {len(samples)} · {sample.id} · {sample.split} · {done} reviewed"
    tags = {key: shorten(value, _TEXT_CHARS) for key, value in sample.tags.items() if key not in (reviews.VERDICT, reviews.REASON)}
    words = cards.reviewed(first, reviews.of(sample), sample.tags.get(reviews.REASON, ""), shorten(sample.caption, _CAPTION_CHARS), tags)
    left_out = _left_out(path.with_name(DROPPED), sample.id)
    try:
        clip = read_clip(manifest.resolve(path, sample), t_s=sample.t_s, size_px=_THUMBNAIL_PX, frame_fps=sample.frame_fps)
    except VideoPerceiverError as error:
        return words, cards.failed(str(error)), left_out
    asked = [AnsweredQuestion(shorten(q.text, _CAPTION_CHARS), shorten(q.answer, _TEXT_CHARS), ()) for q in sample.questions]
    html = page(sample.id, clip_figure(figure_of(sample, clip), asked))
    return words, framed(html, height_px=_HEIGHT_PX, title=f"sample {sample.id}"), left_out


def _left_out(path: Path, sample_id: str) -> Any:
    """What the rules dropped, this sample's parts first; empty where nothing was written."""
    if not path.is_file():
        return ""
    own, others, number = [], [], 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = _row(line, path, number)
            (own if row["sample_id"] == sample_id else others).append(row)
            del others[_MOST_DROPPED:]
    rows = [*own, *others][:_MOST_DROPPED]
    return cards.dropped(rows, number - len(rows), num_own=min(len(own), len(rows)))


def _row(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        found = json.loads(line)
        return {key: shorten(found[key], _TEXT_CHARS) for key in ("sample_id", "part", "rule", "reason", "text")}
    except (ValueError, TypeError, KeyError) as error:
        raise SampleError(f"line {number} is no row of what was left out ({error!r}); expected sample_id, part, rule, reason, text", path=str(path)) from error
