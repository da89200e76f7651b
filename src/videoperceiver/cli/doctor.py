"""`videoperceiver doctor`: what works here, and what to type where it does not."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from videoperceiver.cli.boundary import BAD_INPUT, app

_STYLE = {"ok": "green", "missing": "yellow", "broken": "bold red"}


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """What is installed, which extras and devices work, what to type for what is missing. Decodes a clip and trains a tiny model for three steps.

    Exit code 2 if something is broken; an optional thing that is missing is no fault.
    """
    from rich.console import Console
    from rich.text import Text

    from videoperceiver.lab.doctor import examine, healthy

    console, findings = Console(), []
    for finding in examine():
        findings.append(finding)
        if as_json:
            continue
        line = Text.assemble((f"{finding.state:<8}", _STYLE[finding.state]), f"{finding.name:<18} ", finding.detail)
        console.print(line, soft_wrap=True)
        if finding.todo:
            console.print(Text(f"{'':27}-> {finding.todo}"), soft_wrap=True)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if not healthy(findings):
        raise typer.Exit(BAD_INPUT)
