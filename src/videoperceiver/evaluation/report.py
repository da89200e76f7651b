"""A report over run folders: what they measured, how they differ, what they got wrong. Reads files alone; starts no model.

report = build_report(["runs/plain", "runs/stage1"], "report")     # report.html, report.md, report.json
"""

import dataclasses
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from videoperceiver.errors import ConfigError, RunError, VideoReadError
from videoperceiver.evaluation import metrics
from videoperceiver.evaluation.ablations import ablation_tables
from videoperceiver.evaluation.bench_tables import benchmark_of, benchmark_tables
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.latex import latex_rows
from videoperceiver.evaluation.saved import SavedRun, read_saved
from videoperceiver.evaluation.tables import ALL, BY_FAMILY, OVERALL, accuracy_tables, differences_between, evidence
from videoperceiver.evaluation.words import CONDITIONS
from videoperceiver.pages import (
    Answer,
    AnsweredQuestion,
    ClipFigure,
    CurveGroup,
    Difference,
    Estimate,
    Mistake,
    RunsReport,
    RunSummary,
    ScoreTable,
    curve_panels,
    runs_markdown,
    runs_page,
    words,
)
from videoperceiver.runs import explain, flat, write_atomic

FrameLookup = Callable[[str], ClipFigure | None]
"""Sample id -> its clip as a figure, None where its frames are not at hand. May raise VideoReadError."""

STAGES = {"sft": "Stage 1", "grpo": "Stage 2", "data": "Stage 0", "evaluate": "Evaluation"}
PROTOCOL = ("split", "max_new_tokens", "model.max_pixels", "benchmark.name")
"""Config fields of an evaluation that must agree for two runs to be compared."""
MAX_SERIES = 4
INTERVALS = (
    "Intervals are at 95 % and clustered by video, because questions about one video are not independent. They do not cover training again with another seed."
)


def build_report(
    run_folders: Sequence[str | Path], out: str | Path, *, frames: FrameLookup | None = None, max_mistakes: int = 8, force: bool = False
) -> RunsReport:
    """Read runs and write report.html, report.md, report.json and report.tex.

    Args:
        run_folders: of any stages; the first evaluation is what the others are compared with.
        out: folder, created.
        frames: where the filmstrips beside wrong answers come from, see `figures.manifest_figures`; None leaves them out.
        max_mistakes: clips with wrong answers shown, at most.
        force: compare evaluations whose protocols differ.

    Returns:
        What the page says, for a summary in the terminal.

    Raises:
        RunError: a folder is no run, a file in it is damaged, or `out` cannot be written.
        ConfigError: two evaluations cannot be compared.
    """
    runs = read_saved(run_folders)
    evaluations = [run for run in runs if run.predictions]
    if not force:
        _require_same_protocol(evaluations)
    report = assemble(runs, frames=frames, max_mistakes=max_mistakes)
    title = _title(runs, report)
    folder = Path(out)
    files = {
        "report.html": runs_page(report, title=title),
        "report.md": runs_markdown(report, title=title),
        "report.json": json.dumps(as_json(report, runs), indent=2) + "\n",
        "report.tex": latex_rows(report.tables),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise RunError(explain(error, folder)) from error
    return report


def assemble(runs: Sequence[SavedRun], *, frames: FrameLookup | None, max_mistakes: int) -> RunsReport:
    """The report's contents, before any page."""
    evaluations = [run for run in runs if run.predictions]
    groups = _groups(evaluations)
    tables, compared = ablation_tables(evaluations), []
    for key, members in groups.items():
        tables += benchmark_tables(members) if key else []
        prefix = f"{_name(key)}: " if len(groups) > 1 else ""
        shown = [table for table in accuracy_tables(members) if not (key and table.title == BY_FAMILY)]  # a benchmark's columns are its families
        tables += [dataclasses.replace(table, title=f"{prefix}{table.title}") for table in shown]
        compared += [(f"{prefix}{run.name} minus {members[0].name}, on V", differences_between(members[0], run)) for run in members[1:]]
    rests = ("What the answers rest on: accuracy on V minus accuracy on something else", evidence(evaluations))
    differences = [(caption, items) for caption, items in [*compared, rests] if items]
    mistakes, unread = _mistakes(evaluations, frames, max_mistakes)
    return RunsReport(
        runs=[_summary(run) for run in runs],
        sentences=_sentences(tables, differences) or [_trained(run) for run in runs if run.metrics],
        tables=tables,
        differences=differences,
        curves=_curves(runs),
        mistakes=mistakes,
        notes=[*_notes(runs, evaluations), *unread],
    )


def as_json(report: RunsReport, runs: Sequence[SavedRun]) -> dict[str, Any]:
    """The numbers, for programs: shares between 0 and 1, null where not measured."""
    return {
        "runs": [{**dataclasses.asdict(summary), "folder": str(run.folder), "result": run.result} for summary, run in zip(report.runs, runs, strict=True)],
        "sentences": list(report.sentences),
        "tables": [
            {"title": table.title, "scores": [{"row": s.model, "slice": s.slice, "condition": s.condition, **_numbers(s.estimate)} for s in table.scores]}
            for table in report.tables
        ],
        "differences": [
            {"title": caption, "rows": [{"label": item.label, **_numbers(item.estimate), "p_value": item.p_value} for item in items]}
            for caption, items in report.differences
        ],
        "notes": list(report.notes),
    }


def _numbers(value: Estimate) -> dict[str, float | int | None]:
    return {key: None if isinstance(number, float) and not math.isfinite(number) else number for key, number in dataclasses.asdict(value).items()}


def _groups(evaluations: Sequence[SavedRun]) -> dict[str, list[SavedRun]]:
    """Evaluations by what they answer: runs on other questions are told beside each other, never compared."""
    groups: dict[str, list[SavedRun]] = defaultdict(list)
    for run in evaluations:
        groups[benchmark_of(run)].append(run)
    return groups


def _name(key: str) -> str:
    return BENCHMARKS[key].name if key in BENCHMARKS else key or "Manifest"


def _require_same_protocol(evaluations: Sequence[SavedRun]) -> None:
    for first, second in (pair for members in _groups(evaluations).values() for pair in combinations(members, 2)):
        left, right = ({**flat(run.config), **flat({"protocol": (run.result or {}).get("protocol") or {}})} for run in (first, second))
        told = [key for key in (*PROTOCOL, *sorted(key for key in left if key.startswith("protocol."))) if left.get(key) != right.get(key)]
        told = [key for key in told if (key.startswith("protocol.") and key in right) or (left.get(key) is not None and right.get(key) is not None)]
        differing = [key for key in told if left[key] != right[key]]
        if differing:
            what = "; ".join(f"{key} is {left[key]!r} in one and {right[key]!r} in the other" for key in differing)
            both = f"{first.folder} and {second.folder} were evaluated under different protocols"
            raise ConfigError(f"{both} ({what}): evaluate both alike, or compare them with force")
        known = _by_key(first)
        for row in second.predictions:
            other = known.get(metrics.key_of(row))
            if other is not None and other["reference"] != row["reference"]:
                raise ConfigError(
                    f"{first.folder} and {second.folder} disagree on the reference of question {row['question']!r} of sample {row['sample']!r} "
                    f"({other['reference']!r}, {row['reference']!r}): evaluate both on one manifest, or compare them with force"
                )


# --- words ---


def _title(runs: Sequence[SavedRun], report: RunsReport) -> str:
    """The finding where there is one, else what is reported on."""
    evaluations = [run.name for run in runs if run.predictions]
    overall = [items[0] for _, items in report.differences if items[0].label == ALL]
    if overall:
        gap, names = overall[-1].estimate, f"{overall[-1].model} {{}} {overall[-1].against}"
        if gap.value == 0:
            return names.format("and") + " are equally accurate on V"
        if words.verdict(gap) == words.NO_DIFFERENCE:
            return names.format("and") + " do not differ on V by more than this evaluation can show"
        side = "above" if (gap.value or 0) > 0 else "below"
        return names.format(f"is {words.points(abs(gap.value or 0)).lstrip('+')} points {side}") + " on V"
    if len(evaluations) == 1 and report.sentences:
        return report.sentences[0].rstrip(".")
    return f"{'Run' if len(runs) == 1 else 'Runs'} {words.listing([run.name for run in runs], 4)}"


def _sentences(tables: Sequence[ScoreTable], differences: Sequence[tuple[str, Sequence[Difference]]]) -> list[str]:
    text = []
    for table in (table for table in tables if table.title.endswith(OVERALL)):
        about = table.title.removesuffix(OVERALL).removesuffix(": ")
        overall = {(score.model, score.condition): score.estimate for score in table.scores}
        for name in dict.fromkeys(name for name, _ in overall):
            full, degraded = overall.get((name, "full")), overall.get((name, "degraded"))
            if full and words.known(full.value):
                on_degraded = f", {words.percent(degraded.value, 1)} on V′" if degraded and words.known(degraded.value) else ""
                asked = f"{words.plural(full.num or 0, 'scored question')}{f' of {about}' if about else ''}"
                text.append(f"{name} answers {words.percent(full.value, 1)} of {asked} right on V{on_degraded}.")
    for caption, items in differences:
        if items[0].label == ALL:
            gap = items[0].estimate
            text.append(f"{caption}: {words.points(gap.value)} points ({words.interval(gap, sign=True) or 'no interval'}); {words.verdict(gap)}.")
    return text


def _trained(run: SavedRun) -> str:
    key = f"{run.stage}/loss"
    losses = [float(row[key]) for row in run.metrics if isinstance(row.get(key), int | float)]
    course = f"; its loss went from {words.number(round(losses[0], 3))} to {words.number(round(losses[-1], 3))}" if losses else ""
    return f"{run.name} logged {words.plural(len(run.metrics), 'step')}{course}."


def _notes(runs: Sequence[SavedRun], evaluations: Sequence[SavedRun]) -> list[str]:
    notes = [INTERVALS] if evaluations else []
    for run in evaluations[:1]:
        floor = metrics.majority_accuracy([row for row in run.predictions if row["condition"] == "full"])
        if words.known(floor):
            notes.append(f"The best constant answer to each family of closed questions would be right {words.percent(floor, 1)} of the time ({run.name}).")
    notes += [f"{run.name} is {run.status}, not finished: its numbers are those of the part done." for run in runs if run.status in ("running", "interrupted")]
    notes += [f"{run.name} lacks {words.listing(run.missing)}: what these would tell is left out here." for run in runs if run.missing]
    for leader, run in ((members[0], run) for members in _groups(evaluations).values() for run in members[1:]):
        mine, first = (set(_by_key(part)) for part in (run, leader))
        if mine != first:
            notes.append(
                f"{run.name} and {leader.name} share {len(mine & first):,} answers; {len(mine - first):,} and {len(first - mine):,} are in one alone. "
                "Differences use the shared ones, the tables above all of each run."
            )
    return notes


def _summary(run: SavedRun) -> RunSummary:
    facts: dict[str, object] = {"status": run.status}
    if run.metrics:
        facts |= {"steps": run.metrics[-1].get("step", len(run.metrics)), "time": words.seconds(run.metrics[-1].get("time_s"))}
    if run.predictions:
        facts |= {"answers": len(run.predictions), "videos": len({row["video"] for row in run.predictions})}
        counts = [row["num_frames"] for row in run.predictions if isinstance(row.get("num_frames"), int) and row["num_frames"]]
        if counts:
            facts["frames a video"] = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    facts |= {name: str(run.metadata[name])[:19] for name in ("created", "git") if run.metadata.get(name)}
    reasons = Counter(str(row.get("reason", "no reason given")) for row in run.rejects)
    instance = {str(row.get("reason", "no reason given")): str(row.get("sample_id") or row.get("path") or "unnamed") for row in run.rejects}
    rejects = [(reason, count, instance[reason]) for reason, count in reasons.most_common(12)]
    return RunSummary(run.name, run.stage, facts, flat(run.config), run.missing, rejects)


# --- curves and mistakes ---


def _curves(runs: Sequence[SavedRun]) -> list[CurveGroup]:
    groups = []
    for stage in dict.fromkeys(run.stage for run in runs if run.metrics):
        alike = [run for run in runs if run.metrics and run.stage == stage]
        for first in range(0, len(alike), MAX_SERIES):
            series = {run.name: run.metrics for run in reversed(alike[first : first + MAX_SERIES])}
            groups.append(CurveGroup(f"{STAGES.get(stage, stage)}: {words.listing(list(series))}", series, curve_panels(series)))
    return groups


def _mistakes(evaluations: Sequence[SavedRun], frames: FrameLookup | None, limit: int) -> tuple[list[Mistake], list[str]]:
    """Wrong answers of the last run, one clip after the other so that every family comes up, with what the other runs and V′ said."""
    if not evaluations:
        return [], []
    wrong = [row for row in evaluations[-1].predictions if row["condition"] == "full" and metrics.score(row) < 0.5]
    rank: Counter[str] = Counter()
    order = []
    for row in wrong:
        order.append((rank[row["family"]], row))
        rank[row["family"]] += 1
    samples = list(dict.fromkeys(row["sample"] for _, row in sorted(order, key=lambda item: item[0])))[:limit]
    known = [(run.name, _by_key(run)) for run in evaluations]
    mistakes, unread = [], []
    for sample in samples:
        rows = [row for row in wrong if row["sample"] == sample][:4]
        questions = [_answered(row, known) for row in rows]
        try:
            clip = frames(sample) if frames else None
        except VideoReadError as error:
            clip, reason = None, f"No filmstrip beside some wrong answers: {error}"
            unread.append(reason)
        mistakes.append(Mistake(f"Sample {sample}", questions, clip))
    return mistakes, unread


def _by_key(run: SavedRun) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    return {metrics.key_of(row): row for row in run.predictions}


def _right(row: Mapping[str, Any]) -> bool | None:
    score = metrics.score(row)
    return None if math.isnan(score) else score >= 0.5


def _answered(row: Mapping[str, Any], known: Sequence[tuple[str, Mapping[tuple[str, str, str], Mapping[str, Any]]]]) -> AnsweredQuestion:
    answers = []
    for name, rows in known:
        for key in ("full", "degraded"):
            other = rows.get((row["sample"], row["question"], key))
            if other is not None and (key == "full" or name == known[-1][0]):
                answers.append(Answer(name, str(other["completion"]), _right(other), CONDITIONS[key]))
    return AnsweredQuestion(str(row.get("text") or row["question"]), str(row["reference"]), tuple(answers))
