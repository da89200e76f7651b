"""result.json: accuracies and gaps, a benchmark's own table with intervals, how the numbers were made, and what they leave out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from sys import intern
from typing import TYPE_CHECKING, Any

from videoperceiver.evaluation import captions, metrics
from videoperceiver.evaluation.columns import estimate_columns
from videoperceiver.evaluation.ledger import CLIPS, PREDICTIONS, iterate
from videoperceiver.evaluation.statistics import summarize
from videoperceiver.runs import Run
from videoperceiver.stages import EvaluateConfig

if TYPE_CHECKING:
    from videoperceiver.evaluation.material import Material

NEEDS = {(True, False): "right on V only", (True, True): "right on both", (False, False): "wrong on both", (False, True): "right on V' only"}
HEAVY = ("text", "completion", "completions", "options", "scores", "num_frames")


def results(run: Run, config: EvaluateConfig, material: "Material", *, unused: Sequence[tuple[str, str, str]] = ()) -> dict[str, Any]:
    """Everything measured, from the rows on disk. Writes `keyframe_questions.json`, and `submission.json` where the benchmark has a server."""
    benchmark = material.benchmark
    official = benchmark.official if benchmark else None
    rows, open_rows, tags = [], [], dict[str, dict[str, str]]()
    for row in iterate(run.folder / PREDICTIONS):  # one light record a row is kept, whatever the completions' length
        if official and row["kind"] != "open" and row["reference"]:
            row["official"] = official(row)
        if row["kind"] == "open" and row["reference"] and row["condition"] == "full":
            open_rows.append((row["reference"], row["completion"] or ""))
        row["tags"] = tags.setdefault(row["sample"], row["tags"])
        rows.append({key: intern(value) if isinstance(value, str) else value for key, value in row.items() if key not in HEAVY})
    result = summarize(rows, seed=config.seed) | {
        "protocol": material.protocol.record(),
        "engine": config.engine.kind,
        "frames": _frames(iterate(run.folder / CLIPS)),
        "rejects": dict(Counter(row["reason"] for row in run.rejects())),
        "not_asked": material.num_lost,
        "unused_answers": ["/".join(key) for key in unused[:100]],
    }
    if needs := _needs(rows):
        run.write_json("keyframe_questions.json", needs)
        result["needs_keyframes"] = {name: len(questions) for name, questions in needs.items()}
    if benchmark is None:
        return result
    conditions = metrics.grouped(rows, "condition")
    result |= {
        "benchmark": {"key": config.benchmark.name, "name": benchmark.name},
        "deviations": benchmark.protocol.deviations(material.protocol),
        "miscounts": material.miscounts,
    }
    groups = {f"table/{name}": group for name, group in conditions.items()}
    if official:
        groups |= {f"official_table/{name}": [{**row, "score": row.get("official")} for row in group] for name, group in conditions.items()}
    for name, cells in estimate_columns(groups, benchmark.columns, seed=config.seed).items():
        table, _, condition = name.partition("/")
        result.setdefault(table, {})[condition] = {column: asdict(estimate) for column, estimate in cells.items()}
    if benchmark.gain and {"full", "text"} <= conditions.keys():
        result["knowledge_gain"] = benchmark.gain(conditions["full"], conditions["text"])
    if open_rows:
        result["captions"] = captions.measure(config.benchmark.caption_metrics, [ref for ref, _ in open_rows], [said for _, said in open_rows])
    if benchmark.submission and "full" in conditions:
        run.write_json("submission.json", benchmark.submission(conditions["full"]))
    return result


def _needs(rows: Iterable[metrics.Row]) -> dict[str, list[list[str]]]:
    """Which questions need the key frames: (sample, question) by whether they were right on V and on V'; a mean of draws counts as right from a half."""
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["condition"] in ("full", "degraded"):
            scores.setdefault((row["sample"], row["question"]), {})[row["condition"]] = metrics.score(row)
    found: dict[str, list[list[str]]] = {name: [] for name in NEEDS.values()}
    for key, pair in scores.items():
        if len(pair) == 2 and pair["full"] == pair["full"] and pair["degraded"] == pair["degraded"]:
            found[NEEDS[pair["full"] >= 0.5, pair["degraded"] >= 0.5]].append(list(key))
    return found if any(found.values()) else {}


def _frames(clips: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Frames really seen: how many a video, and at which sizes."""
    counts, sizes, without = [], Counter[str](), 0
    for clip in clips:
        counts.append(len(clip["t_s"]))
        if clip["model_px"]:
            sizes[" x ".join(map(str, clip["model_px"]))] += 1
        without += sum(made is None for made in clip["degraded"].values())
    if not counts:
        return {}
    return {
        "min": min(counts),
        "max": max(counts),
        "mean": sum(counts) / len(counts),
        "sizes_px": dict(sizes.most_common(10)),
        "questions_without_degraded": without,
    }
