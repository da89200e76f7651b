"""`videoperceiver data index`: what a benchmark's videos show, so that training clips can be held against it."""

from pathlib import Path
from typing import Annotated

import typer

from videoperceiver.cli.boundary import say
from videoperceiver.cli.stages import data

_SHOWN = 5


@data.command("index")
def data_index(
    folder: Annotated[Path, typer.Argument(help="A benchmark's videos, in any layout; folders of images too.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The index, an .npz file; a journal of what was read lies beside it.", show_default=False)],
    num_workers: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    deadline_s: Annotated[float, typer.Option(min=0.1, help="Seconds a video may take.")] = 120.0,
) -> None:
    """Hash a benchmark's videos, so that `data build` can leave out training clips that show the same.

    Name the file under validate.benchmark_index of the data recipe, with validate.decontaminate: drop or mark. Run again, it reads only what is new.
    """
    from videoperceiver.data.benchmark_index import index_folder, videos_below
    from videoperceiver.pages.words import one_line, plural
    from videoperceiver.progress import stage_progress

    with stage_progress(f"index · {folder.name}", len(videos_below(folder))) as advance:
        made = index_folder(folder, output, num_workers=num_workers, deadline_s=deadline_s, advance=advance)
    typer.echo(f"{plural(made.videos, 'video')} with {made.frames:,} hashes in {output} ({made.read:,} read now)")
    for name, reason in made.unreadable[:_SHOWN]:
        say(f"not in it: {name}: {one_line(reason)}", style="yellow")
    if len(made.unreadable) > _SHOWN:
        say(f"and {len(made.unreadable) - _SHOWN:,} more that cannot be read; all are in {output}.jsonl", style="yellow")
    if made.blank:
        say(f"{plural(len(made.blank), 'video')} in it show hardly anything and can match nothing: {', '.join(made.blank[:_SHOWN])}", style="yellow")
