"""What a stage came to, as a closing table."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videoperceiver.runs import Run


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
