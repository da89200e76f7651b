"""The application: one boundary for errors, options before the command, messages."""

import errno
import logging
import os
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from videoperceiver import __version__
from videoperceiver.errors import VideoPerceiverError

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


def say(text: str, *, style: str = "") -> None:
    """One message to stderr, markup off and control characters made visible: it may hold a file's name."""
    from rich.console import Console

    from videoperceiver.pages.words import clean

    Console(stderr=True).print(clean(text), style=style, markup=False, highlight=False, soft_wrap=True)


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
