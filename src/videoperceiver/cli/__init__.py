"""The command line: reads arguments, calls a stage, says what came of it. No logic of its own; torch is imported inside the commands."""

from videoperceiver.cli import ask, datasets, doctor, export, lab, plan, stages, validation, videos, web  # each registers its commands
from videoperceiver.cli.boundary import app

__all__ = ["app", "ask", "datasets", "doctor", "export", "lab", "main", "plan", "stages", "validation", "videos", "web"]


def main() -> None:
    """Entry point of the `videoperceiver` script."""
    app(prog_name="videoperceiver")
