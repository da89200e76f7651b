"""What a stage came to, as a closing table."""

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from videoperceiver.pages import ScoreTable
    from videoperceiver.runs import Run


def score_table(table: "ScoreTable") -> "Table":
    """A table of accuracies in percent, the first column with its intervals, for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    from videoperceiver.pages import words

    found = {(score.model, score.slice, score.condition): score.estimate for score in table.scores}
    heads = [f"{column.group} {column.heading}".strip() for column in table.columns]
    shown = Table(title=escape(table.title), title_justify="left", box=None, pad_edge=False)
    shown.add_column(table.corner, overflow="fold")
    for i, head in enumerate(heads):
        shown.add_column(escape(head), justify="right", no_wrap=i == 0)
    for row in table.rows:
        cells = []
        for i, column in enumerate(table.columns):
            value = found.get((row.name, column.slice, column.condition))
            span = words.interval(value) if value and i == 0 else ""  # a terminal has room for one; the page and report.json have them all
            cells.append(words.MISSING if value is None or not words.known(value.value) else f"{100 * value.value:.1f}" + (f" ({span})" if span else ""))
        shown.add_row(escape(words.clean(row.name)), *cells)
    return shown


def summary(run: "Run") -> None:
    """The closing table of a stage, to stdout; of several ranks the first speaks."""
    if os.environ.get("RANK", "0") != "0":
        return
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
    if compared := comparison(run) or benchmark(run) or rules(run):
        console.print(compared)
    for line in building(run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"run folder {run.folder}", markup=False, highlight=False, soft_wrap=True)


def results(run: "Run") -> Iterator[tuple[str, str]]:
    """What result.json says, a line a number: counts of stage 0, accuracies of an evaluation or of the demo."""
    path = run.folder / "result.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    accuracy = found.pop("accuracy", {})
    for condition, cells in accuracy.items() if isinstance(accuracy, dict) else ():
        yield f"accuracy: {condition}", _percent(cells["all"])
    for cell in found.pop("differences", []):
        yield cell["label"], _percent(cell, unit="points")
    for name, value in found.items():
        if isinstance(value, int | float):
            yield name.replace("_", " "), f"{value:.4g}"


def building(run: "Run") -> Iterator[str]:
    """Of stage 0: what the annotator took, where the processor time went, and where the card is."""
    path = run.folder / "result.json"
    if run.stage != "data" or not path.is_file():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if spent := {name: value for name, value in found["annotate"].items() if isinstance(value, int | float)}:
        counts = ", ".join(f"{name.replace('_', ' ')} {value:,.10g}" for name, value in spent.items())
        yield f"annotated by {found['annotate']['annotator']}: {counts}"
    if found["seconds"] and (total_s := sum(found["seconds"].values())):
        shares = sorted(found["seconds"].items(), key=lambda item: -item[1])
        yield f"processor time {total_s:,.1f} s: {', '.join(f'{phase} {seconds / total_s:.0%}' for phase, seconds in shares)}"
    if (run.folder / "index.html").is_file():
        yield f"card {run.folder / 'index.html'}"


def comparison(run: "Run") -> "Table | None":
    """The demo's accuracies in %, a row a model, a column a condition and half of the test; None where result.json compares no models."""
    from rich.table import Table

    path = run.folder / "result.json"
    cells = json.loads(path.read_text(encoding="utf-8")).get("accuracy") if path.is_file() else None
    if not isinstance(cells, list):
        return None
    columns = list(dict.fromkeys((cell["condition"], cell["slice"]) for cell in sorted(cells, key=lambda cell: cell["condition"])))
    table = Table("accuracy in %, by what the cue does", *(f"{condition}, {half}" for condition, half in columns), box=None, pad_edge=False)
    for model in dict.fromkeys(cell["model"] for cell in cells):
        values = {(cell["condition"], cell["slice"]): cell["value"] for cell in cells if cell["model"] == model}
        table.add_row(model, *("not measured" if values.get(column) is None else f"{100 * values[column]:.1f}" for column in columns))
    return table


def benchmark(run: "Run") -> "Table | None":
    """A benchmark's columns in %, a row a condition and scorer, with what a reader must know; None for other runs."""
    from rich.table import Table

    path = run.folder / "result.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(found.get("table"), dict) or "benchmark" not in found:
        return None
    kinds = {"": found["table"], " (official scorer)": found.get("official_table", {})}
    rows = {f"{condition}{kind}": cells for kind, tables in kinds.items() for condition, cells in tables.items()}
    about = [f"{found['benchmark']['name']}, protocol {found['protocol']['digest']}", *found["deviations"]]
    about += [f"{found['not_asked']} questions not asked: their videos are missing"] if found["not_asked"] else []
    about += ["not the complete release"] if found["miscounts"] else []
    table = Table(title="; ".join(about), title_justify="left", box=None, pad_edge=False)
    table.add_column("in %", no_wrap=True)
    for name in next(iter(rows.values())):
        table.add_column(name, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *("–" if cell["value"] is None else f"{100 * cell['value']:.1f}" for cell in cells.values()))
    return table


def rules(run: "Run") -> "Table | None":
    """What each rule of stage 0 refused; None for other runs."""
    from videoperceiver.cli.rules import rules_table

    path = run.folder / "result.json"
    found = json.loads(path.read_text(encoding="utf-8")).get("rules") if run.stage == "data" and path.is_file() else None
    return rules_table(found) if found else None


def _percent(cell: dict[str, Any], unit: str = "%") -> str:
    if cell["value"] is None:
        return "not measured"
    interval = "no interval" if cell["low"] is None else f"{100 * cell['low']:.1f} to {100 * cell['high']:.1f}"
    return f"{100 * cell['value']:.1f} {unit} ({interval}, {cell['num']} answers)"
