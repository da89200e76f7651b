"""One progress bar for every stage: where it is, how fast, when it will be done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[..., None]


@contextmanager
def stage_progress(description: str, total: int | None, done: int = 0, *, shown: bool = True) -> Iterator[Advance]:
    """A bar with elapsed time and ETA on stderr; yields `advance(note="", steps=1)`.

    Args:
        description: the stage.
        total: its steps; None where they are not known.
        done: steps that an earlier session has done.
        shown: whether this process speaks.
    """
    columns = (
        TextColumn("{task.description:<28}", style="bold", markup=False),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")

        def advance(note: str = "", steps: int = 1) -> None:
            progress.update(task, advance=steps, note=note)

        yield advance
