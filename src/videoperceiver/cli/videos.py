"""Commands that look at videos and runs: preflight, key frames, V', reports."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videoperceiver.cli.boundary import app
from videoperceiver.cli.stages import data

if TYPE_CHECKING:
    from videoperceiver.data.keyframes import KeyframeAnalysis
    from videoperceiver.types import Span

MAX_TABLES = 6  # in the terminal; the page has them all
Video = Annotated[Path, typer.Argument(help="A video file, or a folder of numbered images.", show_default=False)]
Text = Annotated[str, typer.Option(help="What happens, in words; its event phrases become the keywords.", show_default=False)]
Keyword = Annotated[list[str] | None, typer.Option(help="An event phrase, in place of --text; may be repeated.", show_default=False)]
Event = Annotated[
    list[str] | None,
    typer.Option(help="An annotated event as START-END or START-END:LABEL in seconds, in place of detection; may be repeated.", show_default=False),
]
Fps = Annotated[float, typer.Option(min=0.01, help="Frames a second to look at.")]
FrameFps = Annotated[float | None, typer.Option(min=0.01, help="Images a second, where a clip is a folder of numbered images.", show_default=False)]
Relevance = Annotated[str, typer.Option(help="motion, proxy, or clip, siglip2, blip2 (as NAME or NAME:MODEL).")]
Operator = Annotated[
    str, typer.Option(help="How V' is made: hold, predecessor, random, elsewhere, shuffle, reverse, freeze, blank, or your own as file.py:function.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]


@data.command("check")
def data_check(
    source: Annotated[Path, typer.Argument(metavar="MANIFEST_OR_FOLDER", help="A .parquet or .jsonl manifest, or a folder of videos.", show_default=False)],
    fps: Annotated[float, typer.Option(min=0.01, help="Sampling of bare videos; a manifest names its own frames.")] = 4.0,
    frame_fps: FrameFps = None,
    num_workers: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    deadline_s: Annotated[float, typer.Option(min=0.1, help="Seconds a clip may take.")] = 60.0,
    memory_mb: Annotated[int, typer.Option(min=64, help="Memory a clip may take.")] = 2048,
) -> None:
    """Decode every clip once: what is bad, why, and what will be used. Exit 1 where something is bad."""
    from videoperceiver.data.check import candidates, check
    from videoperceiver.pages.words import one_line
    from videoperceiver.progress import stage_progress

    clips, num_other = candidates(source, fps=fps, frame_fps=frame_fps)
    verdicts = []
    with stage_progress(f"check {source.name}", len(clips)) as advance:
        for verdict in check(clips, num_workers=num_workers, deadline_s=deadline_s, memory_mb=memory_mb):
            verdicts.append(verdict)
            advance(f"{sum(v.problem is not None for v in verdicts)} bad")
    good, bad = [v for v in verdicts if v.problem is None], [v for v in verdicts if v.problem is not None]
    for verdict in good:
        assumed = f" (times are assumed: {verdict.assumed})" if verdict.assumed else ""
        typer.echo(f"ok   {one_line(verdict.name)}: {verdict.num_frames} frames, {verdict.start_s:.2f} to {verdict.end_s:.2f} s{assumed}")
    for verdict in bad:
        typer.echo(f"BAD  {one_line(verdict.name)}: {one_line(verdict.problem)}")
    aside = f"; files that are no videos, left aside: {num_other}" if num_other else ""
    typer.echo(f"{len(good)} of {len(verdicts)} clips can be used, {sum(v.num_frames for v in good)} frames{aside}")
    if bad:
        raise typer.Exit(1)


@app.command()
def keyframes(
    video: Video,
    text: Text = "",
    keyword: Keyword = None,
    event: Event = None,
    fps: Fps = 8.0,
    frame_fps: FrameFps = None,
    relevance: Relevance = "proxy",
    operator: Operator = "hold",
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with timeline and filmstrip.", show_default=False)] = None,
) -> None:
    """Where a video's event is: relevance over time, key frames, and what V' would show instead."""
    from videoperceiver.data.present import as_figure
    from videoperceiver.pages import keyframes_page
    from videoperceiver.runs import write_atomic

    found = _analyse(video, text=text, keyword=keyword, event=event, fps=fps, frame_fps=frame_fps, relevance=relevance, operator=operator, seed=seed)
    if html is not None:
        facts = {"sampling": f"{fps:g} frames a second", "relevance": found.relevance, "V' operator": operator}
        with _writing(html):
            write_atomic(html, keyframes_page(as_figure(found), seconds=found.seconds, facts=facts))
    _show(found, as_json, *([f"page {html}"] if html else []))


@app.command()
def degrade(
    video: Video,
    out: Annotated[Path, typer.Option(help="The mp4 to write.", show_default=False)],
    text: Text = "",
    keyword: Keyword = None,
    event: Event = None,
    fps: Fps = 8.0,
    frame_fps: FrameFps = None,
    relevance: Relevance = "proxy",
    operator: Operator = "hold",
    seed: Seed = 0,
    size_px: Annotated[int, typer.Option(min=16, help="Longer side of the picture.")] = 512,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")] = False,
) -> None:
    """Write V', the video without its key frames, as a playable mp4."""
    from videoperceiver.errors import SampleError
    from videoperceiver.video.degrade import apply
    from videoperceiver.video.read import read_clip
    from videoperceiver.video.write import write_mp4

    found = _analyse(video, text=text, keyword=keyword, event=event, fps=fps, frame_fps=frame_fps, relevance=relevance, operator=operator, seed=seed)
    if found.degradation is None:
        raise SampleError("no frame would be replaced, so there is no V' to write; give a text that names the event, or another --operator", path=str(video))
    degraded = apply(read_clip(video, t_s=found.t_s, size_px=size_px, frame_fps=frame_fps, max_frames=4000), found.degradation)
    with _writing(out):
        write_mp4(degraded, out)
    _show(found, as_json, f"V' {out}")


def _analyse(
    video: Path, *, keyword: Sequence[str] | None, event: Sequence[str] | None, operator: str, frame_fps: float | None, **options: Any
) -> "KeyframeAnalysis":
    from videoperceiver.data.keyframes import analyse
    from videoperceiver.progress import stage_progress
    from videoperceiver.video.degrade import load_operator
    from videoperceiver.video.read import probe

    load_operator(operator)  # before anything is decoded
    spans = [_span(text) for text in event or ()]
    length_s = max(1, round(probe(video, frame_fps=frame_fps).duration_s or 1))
    reached_s = 0
    with stage_progress(f"look at {video.name}", length_s) as advance:

        def on_frames(at_s: float) -> None:
            nonlocal reached_s
            advance("seconds of video", steps=int(at_s) - reached_s)
            reached_s = int(at_s)

        found = analyse(video, keywords=tuple(keyword or ()), spans=spans, operator=operator, frame_fps=frame_fps, on_frames=on_frames, **options)
        on_frames(length_s)
    return found


def _span(text: str) -> "Span":
    from videoperceiver.errors import ConfigError
    from videoperceiver.types import Span

    found = re.fullmatch(r"(\d+(?:\.\d*)?)-(\d+(?:\.\d*)?)(?::(.*))?", text.strip(), re.DOTALL)
    if not found or float(found[1]) > float(found[2]):
        raise ConfigError(f"event {text!r} cannot be read; expected START-END or START-END:LABEL in seconds, as 5.9-7.2:taken")
    return Span(float(found[1]), float(found[2]), found[3] or "")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make the folder of an output; say what keeps it from being written."""
    from videoperceiver.errors import RunError
    from videoperceiver.runs import explain

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunError(explain(error, path)) from error


def _show(found: "KeyframeAnalysis", as_json: bool, *closing: str) -> None:
    from videoperceiver.data.present import as_lines, as_record

    typer.echo(json.dumps(as_record(found)) if as_json else "\n".join([*as_lines(found), *closing]))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; the first evaluation is the one compared with.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of report.html, report.md, report.json and report.tex.")] = Path("report"),
    manifest: Annotated[Path | None, typer.Option(help="Manifest of the questions, for filmstrips beside wrong answers.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare evaluations whose protocols differ.")] = False,
) -> None:
    """One page over run folders: what they measured, how they differ, what they got wrong."""
    from rich.console import Console

    from videoperceiver.cli.summary import score_table
    from videoperceiver.evaluation.figures import manifest_figures, run_figures
    from videoperceiver.evaluation.report import build_report

    found = build_report(runs, out, frames=manifest_figures(manifest) if manifest else run_figures(runs), force=force)
    if len(runs) == 1 and found.runs[0].stage in ("sft", "grpo") and not found.runs[0].missing:
        from videoperceiver.training.run_report import write_report

        write_report(runs[0], out)  # a training run alone has a page of its own
    for table in found.tables[:MAX_TABLES]:
        Console().print(score_table(table))
        typer.echo()
    for sentence in found.sentences:
        typer.echo(sentence)
    typer.echo(f"report {out / 'report.html'}")
