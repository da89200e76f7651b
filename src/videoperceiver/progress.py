"""One progress bar for every stage: where it is, how fast, when it will be done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[..., None]

ALIGNED_FROM = 120
"""Columns of a terminal from which the bars of several stages stand below each other."""


@contextmanager
def stage_progress(description: str, total: int | None, done: int = 0, *, shown: bool = True) -> Iterator[Advance]:
    """A bar with elapsed time and ETA on stderr; yields `advance(note="", steps=1)`. Of the note, what the terminal has room for is shown.

    Args:
        description: the stage.
        total: its steps; None where they are not known.
        done: steps that an earlier session has done.
        shown: whether this process speaks.
    """
    console = Console(stderr=True)
    wide, bar = (28, 12) if console.width >= ALIGNED_FROM else (0, 8)
    columns = (
        TextColumn(f"{{task.description:<{wide}}}", style="bold", markup=False),
        BarColumn(bar_width=bar),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    of_bar = max(wide, len(description)) + bar + 2 * len(str(total or 0)) + 1 + len("0:00:00left-:--:--") + 6  # what the ETA needs is never cut
    room = max(0, console.width - of_bar)
    with Progress(*columns, console=console, disable=not shown) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")

        def advance(note: str = "", steps: int = 1) -> None:
            progress.update(task, advance=steps, note=note if len(note) <= room else note[: max(0, room - 1)] + "…" * (room > 0))

        yield advance
