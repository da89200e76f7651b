"""Commands for people with a video and a question: ask, describe, find."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from videoperceiver.cli.boundary import app
from videoperceiver.cli.videos import _writing as writing

if TYPE_CHECKING:
    from videoperceiver.inference.perceiver import VideoPerceiver

Video = Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False)]
Model = Annotated[str, typer.Option(help="A checkpoint: a folder such as RUN/model, or a hub id.", show_default=False)]
Relevance = Annotated[str, typer.Option(help="What chooses frames and moments: motion, proxy, or clip, siglip2, blip2 (as NAME or NAME:MODEL).")]
Fps = Annotated[float, typer.Option(min=0.01, help="Frames a second to look at closely.")]
MaxFrames = Annotated[int, typer.Option(min=4, help="Most frames the model sees at once, however long the video is; even.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, instead of words.")]


@app.command()
def ask(
    video: Video,
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION...", help="One or several; they share one pass over the video.", show_default=False)],
    model: Model,
    explain: Annotated[bool, typer.Option("--explain", help="Also answer without the key frames, and say whether the answer rests on them.")] = False,
    relevance: Relevance = "proxy",
    fps: Fps = 4.0,
    max_frames: MaxFrames = 64,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Write a page: relevance, key frames, both answers. Implies --explain.", show_default=False)] = None,
) -> None:
    """Answer questions about a video of any length."""
    perceiver = _load(video, model, relevance, fps, max_frames)
    from videoperceiver.inference.present import answer_lines, answer_page, answer_record

    live = sys.stdout.isatty() and len(questions) == 1 and not as_json
    said = _Live()
    for now in perceiver.stream(video, questions, explain=explain or html is not None):
        if live and now.texts:
            said.show(now.texts[0])
    answers = list(now.answers)
    if html is not None:
        with writing(html):
            html.write_text(answer_page(answers), encoding="utf-8")
    for answer in answers:
        typer.echo(json.dumps(answer_record(answer)) if as_json else said.rest("\n".join(answer_lines(answer))))
    if not as_json:
        typer.echo(f"({answers[0].looked})" + (f"\npage {html}" if html else ""))


@app.command()
def describe(
    video: Video,
    model: Model,
    fps: Fps = 4.0,
    max_frames: MaxFrames = 64,
    prompt: Annotated[str, typer.Option(help="What the model is asked for each stretch.")] = "",
    as_json: Json = False,
) -> None:
    """Describe a video with times, stretch by stretch, as each is done."""
    perceiver = _load(video, model, "motion", fps, max_frames)
    from dataclasses import asdict

    from videoperceiver.inference.present import clock
    from videoperceiver.pages.words import clean
    from videoperceiver.stages import CAPTION_PROMPT

    for part in perceiver.describe(video, prompt=prompt or CAPTION_PROMPT):
        typer.echo(json.dumps(asdict(part)) if as_json else f"{clock(part.start_s)} to {clock(part.end_s)}  {clean(part.text)}  ({part.num_frames} frames)")


@app.command()
def find(
    video: Video,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="What to look for, in words.", show_default=False)],
    model: Annotated[str, typer.Option(help="A checkpoint that looks at the best moments; without one, relevance alone ranks them.", show_default=False)] = "",
    top: Annotated[int, typer.Option(min=1, max=50, help="Most moments to show.")] = 5,
    relevance: Relevance = "proxy",
    fps: Fps = 4.0,
    max_frames: MaxFrames = 64,
    as_json: Json = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture of each moment.", show_default=False)] = None,
) -> None:
    """Where in a video an event is: ranked moments, the first ones while the video is still being read."""
    perceiver = _load(video, model or None, relevance, fps, max_frames)
    from videoperceiver.cli.boundary import say
    from videoperceiver.inference.present import clock, found_lines, found_page, found_record

    found = None
    for found in perceiver.find(video, event, top=top):
        if as_json:
            typer.echo(json.dumps(found_record(found)))
        elif not found.complete and found.moments:
            best = found.moments[0]
            say(f"seen up to {clock(found.seen_s)}; so far the best is {clock(best.start_s)} to {clock(best.end_s)}", style="dim")
    assert found is not None
    if not as_json:
        typer.echo("\n".join(found_lines(found, event)))
    if html is not None:
        with writing(html):
            html.write_text(found_page(found, event, title=video.name), encoding="utf-8")
        if not as_json:
            typer.echo(f"page {html}")


class _Live:
    """An answer on a terminal while it is being said."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, text: str) -> None:
        """Adds what is new of the text so far."""
        from videoperceiver.pages.words import clean

        new = self.rest(clean(text))
        typer.echo(new, nl=False)
        self._shown += new

    def rest(self, text: str) -> str:
        """What of a text is not shown yet; all of it, on a new line, where a tokenizer took back what it had said."""
        if text.startswith(self._shown):
            return text[len(self._shown) :]
        self._shown = ""
        return f"\n{text}"


def _load(video: Path, model: str | None, relevance: str, fps: float, max_frames: int) -> "VideoPerceiver":
    """The video first: a wrong path should wait neither for a model nor for torch."""
    from videoperceiver.video.read import probe

    probe(video)
    from videoperceiver.inference.perceiver import VideoPerceiver

    return VideoPerceiver.load(model, relevance=relevance, fps=fps, max_frames=max_frames)
