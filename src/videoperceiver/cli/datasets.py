"""`videoperceiver data card` and `data export`: a data set told, and in the formats of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from videoperceiver.cli.stages import data


@data.command("card")
def data_card(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished `data build`.", show_default=False)],
    num_scenery: Annotated[int, typer.Option(min=0, help="Read V' of about so many clips, to see what its scenery gives away of the answers.")] = 256,
) -> None:
    """Write a data set's card anew: index.html, README.md for the Hugging Face hub, and a Parquet file a split for `datasets`."""
    from videoperceiver.data.card import card_of

    typer.echo(f"card {card_of(folder, num_scenery=num_scenery)}")


@data.command("export")
def data_export(
    manifest: Annotated[Path, typer.Argument(help="A manifest with its media beside it.", show_default=False)],
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="ms_swift, llama_factory or video_r1.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="A new folder; nothing is overwritten.", show_default=False)],
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "train",
    degraded: Annotated[bool, typer.Option("--degraded", help="Also write V and V' as videos, out of the manifest's own frames.")] = False,
) -> None:
    """Write questions, captions and media of a split for another training tool. V' is in none of their formats."""
    from videoperceiver.data.exports import EXPORTS
    from videoperceiver.errors import ConfigError
    from videoperceiver.pages.words import one_line, plural
    from videoperceiver.plugins import suggestion

    if form not in EXPORTS:
        raise ConfigError(f"format {form!r} is not known{suggestion(form, dict.fromkeys(EXPORTS))}; expected one of {', '.join(EXPORTS)}")
    exported = EXPORTS[form](manifest, target, split=split, degraded=degraded)
    typer.echo(f"{plural(exported.rows, 'row')} of {plural(exported.clips, 'clip')} in {exported.file}")
    for reason, count in exported.left_out.most_common():
        typer.echo(f"left out: {count} ({one_line(reason)}; e.g. {one_line(exported.instances[reason])})")
    if not degraded:
        typer.echo("V' is not part of it: these tools know no index map over frames. --degraded writes V and V' as videos beside the rows.")
