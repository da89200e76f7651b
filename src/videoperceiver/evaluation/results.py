"""result.json: accuracies and gaps, a benchmark's own table with intervals, how the numbers were made, and what they leave out."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from videoperceiver.evaluation import captions, metrics
from videoperceiver.evaluation.columns import estimate_columns
from videoperceiver.evaluation.compact import CompactRows
from videoperceiver.evaluation.ledger import CLIPS, PREDICTIONS, iterate
from videoperceiver.evaluation.statistics import summarize
from videoperceiver.runs import Run
from videoperceiver.stages import EvaluateConfig

if TYPE_CHECKING:
    from videoperceiver.evaluation.material import Material

NEEDS = {(True, False): "right on V only", (True, True): "right on both", (False, False): "wrong on both", (False, True): "right on V' only"}


def results(run: Run, config: EvaluateConfig, material: "Material", *, unused: Sequence[tuple[str, str, str]] = ()) -> dict[str, Any]:
    """Everything measured, from the rows on disk. Writes `keyframe_questions.json`, and `submission.json` where the benchmark has a server."""
    benchmark = material.benchmark
    open_rows: list[tuple[str, str]] = []
    rows = CompactRows.collect(_official(_captions_kept(iterate(run.folder / PREDICTIONS), open_rows), benchmark.official if benchmark else None))
    result = summarize(rows, seed=config.seed) | {
        "protocol": material.protocol.record(),
        "engine": config.engine.kind,
        "frames": _frames(iterate(run.folder / CLIPS)),
        "rejects": dict(Counter(row["reason"] for row in run.rejects())),
        "not_asked": material.num_lost,
        "unused_answers": ["/".join(key) for key in unused],
    }
    conditions = rows.by("condition")
    if needs := _needs(conditions):
        result["needs_keyframes"] = {name: len(questions) for name, questions in needs.items()}
        run.write_text("keyframe_questions.json", _listed(needs))
    if benchmark is None:
        return result
    result |= {
        "benchmark": {"key": config.benchmark.name, "name": benchmark.name},
        "deviations": benchmark.protocol.deviations(material.protocol),
        "miscounts": material.miscounts,
    }
    groups = {f"table/{name}": group for name, group in conditions.items()}
    if benchmark.official:
        groups |= {f"official_table/{name}": group for name, group in rows.by_official().by("condition").items()}
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


def _captions_kept(rows: Iterable[metrics.Row], kept: list[tuple[str, str]]) -> Iterator[metrics.Row]:
    """The rows, while pairs of reference and completion of the captions on V gather in `kept`: their metrics are over all of them."""
    for row in rows:
        if row["kind"] == "open" and row["reference"] and row["condition"] == "full":
            kept.append((row["reference"], row["completion"] or ""))
        yield row


def _official(rows: Iterable[metrics.Row], score: Callable[[metrics.Row], float] | None) -> Iterator[tuple[metrics.Row, float | None]]:
    """Each row with its score by the official parser, which needs what was said."""
    for row in rows:
        yield row, score(row) if score and row["kind"] != "open" and row["reference"] else None


def _needs(conditions: Mapping[str, CompactRows]) -> dict[str, CompactRows]:
    """Which questions need the key frames: rows on V by whether they were right there and on V'; a mean of draws counts as right from a half."""
    if not {"full", "degraded"} <= conditions.keys():
        return {}
    full, degraded = conditions["full"], conditions["degraded"]
    at = full.partners(degraded)
    other = np.where(at >= 0, degraded.values[at], np.nan)
    known = ~np.isnan(full.values) & ~np.isnan(other)
    found = {name: full.where(known & ((full.values >= 0.5) == on_full) & ((other >= 0.5) == on_degraded)) for (on_full, on_degraded), name in NEEDS.items()}
    return found if known.any() else {}


def _listed(needs: Mapping[str, CompactRows]) -> str:
    """JSON of [sample, question] by what they need, a line each."""
    parts = [f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps([row["sample"], row["question"]]) for row in rows) + "\n]" for name, rows in needs.items()]
    return "{" + ",\n".join(parts) + "}\n"


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
