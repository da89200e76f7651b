"""A benchmark's table as the papers print it: our runs with intervals, the official parser's score beside ours, reported values below, footnotes.

Values come from each run's result.json, which the evaluation stage wrote; nothing is scored again here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from videoperceiver.evaluation.benchmarks import BENCHMARKS, Benchmark
from videoperceiver.evaluation.saved import SavedRun
from videoperceiver.evaluation.words import CONDITIONS
from videoperceiver.pages import Column, Estimate, Model, Score, ScoreTable

WIDEST = 8
"""A table with more columns is turned, a row a column."""
REPORTED, INDEPENDENT, OFFICIAL = "reported by the paper", "reported by others", "by the official scorer"


def benchmark_of(run: SavedRun) -> str:
    """A run's benchmark as recipes name it; "" for a manifest."""
    return str(((run.result or {}).get("benchmark") or {}).get("key", ""))


def headline(run: SavedRun, condition: str = "full") -> Estimate | None:
    """The first column of a run's benchmark, None where it was not measured."""
    cells = ((run.result or {}).get("table") or {}).get(condition) or {}
    return _estimate(next(iter(cells.values()))) if cells else None


def benchmark_tables(runs: Sequence[SavedRun]) -> list[ScoreTable]:
    """Tables of runs on one benchmark: as the paper prints it, what is left of its columns, what the answers rest on, captions."""
    key = benchmark_of(runs[0])
    known, shown = BENCHMARKS.get(key), [run for run in runs if (run.result or {}).get("table")]
    if not shown:
        return []
    name = str((shown[0].result or {})["benchmark"]["name"])
    columns = list(dict.fromkeys(column for run in shown for cells in (run.result or {})["table"].values() for column in cells))
    printed = _printed(known, columns)
    tables = [_paper(name, known, shown, printed)]
    if rest := [column for column in columns if column not in printed]:
        tables.append(_rest(f"{name}: the other columns", shown, rest))
    tables += [table for table in (_evidence(name, shown), _captions(name, shown)) if table is not None]
    return tables


def _printed(known: Benchmark | None, columns: Sequence[str]) -> list[str]:
    """The columns for which values are reported; all where none are, or where only the first few are and the rest is short."""
    longest = max((len(row) for row in {**(known.reported if known else {}), **(known.independent if known else {})}.values()), default=len(columns))
    return list(columns) if len(columns) <= WIDEST else list(columns[:longest])


def _paper(name: str, known: Benchmark | None, runs: Sequence[SavedRun], columns: Sequence[str]) -> ScoreTable:
    rows, scores = [], []
    for index, run in enumerate(runs):
        result = run.result or {}
        rows.append(Model(run.name, _how(result), ours=index == len(runs) - 1))
        scores += [Score(run.name, column, "", _estimate(cell)) for column, cell in result["table"].get("full", {}).items()]
        if official := (result.get("official_table") or {}).get("full"):
            rows.append(Model(f"{run.name}, official scorer", OFFICIAL))
            scores += [Score(f"{run.name}, official scorer", column, "", _estimate(cell)) for column, cell in official.items()]
    for label, values in (known.reported if known else {}).items():
        rows.append(Model(f"{label} (paper)", REPORTED))
        scores += _values(f"{label} (paper)", columns, values)
    for label, values in (known.independent if known else {}).items():
        rows.append(Model(f"{label} (others)", INDEPENDENT))
        scores += _values(f"{label} (others)", columns, values)
    digests = sorted({str(run.result["protocol"]["digest"]) for run in runs if run.result and "protocol" in run.result})
    note = " ".join([f"On V. Protocol {', '.join(digests)}.", *(known.notes if known else ())])
    return ScoreTable(name, rows, [Column(column, "", column) for column in columns], scores, corner="model", note=note)


def _how(result: Mapping[str, Any]) -> str:
    """What a reader must know beside the number: frames seen, what deviates from the protocol, what was not asked."""
    frames, parts = result.get("frames") or {}, []
    if frames.get("max"):
        parts.append(f"{frames['min']} frames" if frames["min"] == frames["max"] else f"{frames['min']} to {frames['max']} frames")
    parts += [str(text) for text in result.get("deviations", ())]
    if result.get("not_asked"):
        parts.append(f"{result['not_asked']} questions not asked: their videos are missing")
    if result.get("miscounts"):
        parts.append("not the complete release")
    return "; ".join(parts)


def _values(label: str, columns: Sequence[str], values: Sequence[float | None]) -> list[Score]:
    return [Score(label, column, "", Estimate(value / 100)) for column, value in zip(columns, values, strict=False) if value is not None]


def _rest(title: str, runs: Sequence[SavedRun], columns: Sequence[str]) -> ScoreTable:
    """A row a column: many tasks, few runs."""
    scores = [
        Score(column, run.name, "", _estimate(cell))
        for run in runs
        for column, cell in (run.result or {})["table"].get("full", {}).items()
        if column in columns
    ]
    return ScoreTable(title, [Model(column) for column in columns], [Column(run.name, "", run.name) for run in runs], scores, corner="column")


def _evidence(name: str, runs: Sequence[SavedRun]) -> ScoreTable | None:
    """The headline under every condition."""
    present = {condition for run in runs for condition in (run.result or {})["table"]}
    conditions = [*(name for name in CONDITIONS if name in present), *sorted(present - CONDITIONS.keys())]
    if len(conditions) < 2:
        return None
    first = next(iter(next(iter((runs[0].result or {})["table"].values()))))
    found = [(run.name, condition, headline(run, condition)) for run in runs for condition in conditions]
    if all(value is None or value.value == _micro(run, condition) for run in runs for condition in conditions if (value := headline(run, condition))):
        return None  # the report's own table of all questions says the same
    scores = [Score(label, "", condition, value) for label, condition, value in found if value is not None]
    columns = [Column("", condition, CONDITIONS.get(condition) or condition) for condition in conditions]
    note = "How far an answer needs what it is asked about; a model that does not look loses nothing on V′."
    return ScoreTable(f"{name}: {first} by what is shown", [Model(run.name) for run in runs], columns, scores, note=note)


def _micro(run: SavedRun, condition: str) -> float | None:
    """The accuracy over all answers under a condition."""
    cells = ((run.result or {}).get("accuracy") or {}).get(condition) or {}
    return (cells.get("all") or {}).get("value")


def _captions(name: str, runs: Sequence[SavedRun]) -> ScoreTable | None:
    """Caption metrics; a metric that was not computed says why in the note."""
    scores, columns, why = [], dict[str, None](), dict[str, None]()
    for run in runs:
        for metric, found in ((run.result or {}).get("captions") or {}).items():
            if metric == "num":
                continue
            if "not computed" in found:
                why[f"{metric} was not computed: {found['not computed']}"] = None
                continue
            parts = found["value"] if isinstance(found["value"], dict) else {metric: {"": found["value"]}}
            for part, values in parts.items():
                for kind, value in values.items():
                    column = f"{part} {kind}".strip()
                    columns[column] = None
                    scores.append(Score(run.name, column, "", Estimate(value)))
    if not columns and not why:
        return None
    title = f"{name}: captions"
    return ScoreTable(title, [Model(run.name) for run in runs], [Column(column, "", column) for column in columns], scores, note=" ".join(why))


def _estimate(cell: Mapping[str, Any]) -> Estimate:
    """A cell of result.json, whose missing numbers are null."""
    value, low, high = (None if number is None or not math.isfinite(number) else float(number) for number in (cell["value"], cell["low"], cell["high"]))
    return Estimate(value, low, high, cell.get("num"))
