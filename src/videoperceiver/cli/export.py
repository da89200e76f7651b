"""`videoperceiver export`: any checkpoint of a run as a plain Hugging Face folder, and to the hub where asked."""

from pathlib import Path
from typing import Annotated

import typer

from videoperceiver.cli.boundary import app


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run of stage 1 or 2, finished or not.", show_default=False)],
    checkpoint: Annotated[str, typer.Option(help="last, best (by the recipe's held_out.best_by) or a number of steps.")] = "last",
    output: Annotated[Path | None, typer.Option(help="A new or empty folder. [default: RUN/model-step-...]", show_default=False)] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="With LoRA: the adapter alone, in place of merged weights.")] = False,
    ema: Annotated[bool, typer.Option("--ema", help="The moving average of the weights (needs optim.ema_decay in the recipe).")] = False,
    push_to_hub: Annotated[str, typer.Option(metavar="NAME", help="Upload to this private repository, with the key in HF_TOKEN.", show_default=False)] = "",
) -> None:
    """Write a checkpoint as a plain Hugging Face folder with processor and model card."""
    from videoperceiver.runs import Run
    from videoperceiver.stages import ExportConfig

    opened = Run.open(run)
    from videoperceiver.training.export import export as write

    typer.echo(write(opened, ExportConfig(adapter=adapter, ema=ema, push_to_hub=push_to_hub), checkpoint=checkpoint, output=output))
