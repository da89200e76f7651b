"""The paper's ablation tables (5 and 6) put together from evaluation runs, by what the training runs behind their checkpoints say of themselves.

A stage writes its checkpoint into RUN/model, so the config of a checkpoint's training lies beside it; stage 2's names the checkpoint of stage 1.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from videoperceiver.evaluation.bench_tables import benchmark_of, headline
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.saved import SavedRun
from videoperceiver.pages import Column, Estimate, Model, Score, ScoreTable

METEOR = "VRU METEOR"
TABLE_5: dict[str, tuple[float, float, float]] = {
    "VideoPerceiver-7B (paper)": (69.0, 73.7, 29.7),
    "A, random key frames (paper)": (53.0, 67.1, 28.8),
    "B, no contrastive loss (paper)": (55.0, 70.4, 27.4),
    "C, plain GRPO (paper)": (51.0, 68.4, 27.9),
    "D, public data alone (paper)": (60.0, 69.6, 29.1),
}
"""MotionBench, VRU-Accident VQA, VRU-Accident METEOR x 100."""
TABLE_6: dict[str, tuple[int, ...]] = {
    "blocks 8 (paper)": (63, 61, 59, 62, 72, 58, 58),
    "blocks 16 (paper)": (69, 66, 64, 67, 77, 61, 61),
    "blocks 24 (paper)": (65, 62, 63, 62, 75, 58, 59),
    "blocks 15-17 (paper)": (67, 64, 62, 65, 76, 60, 60),
    "blocks 14-18 (paper)": (68, 65, 63, 66, 76, 60, 60),
    "blocks 13-19 (paper)": (68, 65, 63, 66, 76, 60, 60),
    "blocks 1-16 (paper)": (66, 63, 61, 64, 75, 60, 60),
    "blocks 17-32 (paper)": (65, 63, 61, 64, 74, 59, 59),
    "blocks 1-32 (paper)": (67, 64, 62, 65, 75, 60, 60),
    "blocks 16, 0.25 fps (paper)": (55, 52, 50, 53, 65, 48, 49),
    "blocks 16, 0.5 fps (paper)": (58, 55, 53, 56, 68, 50, 51),
}
"""MotionBench dev: average, MR, LM, CM, MO, AO, RC. Three rows that add block 16 to other ranges are left out."""


def lineage(checkpoint: str | Path) -> list[Mapping[str, Any]]:
    """Configs of the training runs behind a checkpoint, the last stage first; [] where nothing lies beside it."""
    found, seen = [], set[Path]()
    path = Path(checkpoint)
    while (config := path.parent / "config.yaml").is_file() and path not in seen:
        seen.add(path)
        try:
            content = yaml.safe_load(config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            break
        if not isinstance(content, dict) or not isinstance(content.get("model"), dict) or "train" not in content:
            break
        found.append(content)
        path = Path(str(content["model"].get("path", "")))
    return found


def label(stages: Sequence[Mapping[str, Any]]) -> str:
    """What sets a checkpoint's training apart, in the paper's terms; "" for one without a known training."""
    parts = []
    for config in stages:
        contrastive, reward = config.get("contrastive"), config.get("reward")
        if isinstance(reward, dict):
            parts.append("plain GRPO" if reward.get("objective") == "grpo" else "comparative GRPO")
        if isinstance(contrastive, dict):
            parts.append(f"blocks {spans(contrastive.get('tap_blocks', []))}" if contrastive.get("weight") else "no contrastive loss")
            if config.get("operator") == "random":
                parts.append("random key frames")
    return ", ".join(reversed(parts))


def spans(blocks: Sequence[int]) -> str:
    """Block numbers as the paper writes them: 8, 13-19."""
    ordered, parts = sorted({int(block) for block in blocks}), list[str]()
    start = None
    for i, block in enumerate(ordered):
        start = block if start is None else start
        if i + 1 == len(ordered) or ordered[i + 1] != block + 1:
            parts.append(str(block) if start == block else f"{start}-{block}")
            start = None
    return ", ".join(parts)


def ablation_tables(evaluations: Sequence[SavedRun]) -> list[ScoreTable]:
    """Tables 5 and 6, where runs of at least two trained checkpoints are among the evaluations; none otherwise."""
    trained = {str(run.config.get("model", {}).get("path", "")): "" for run in evaluations if benchmark_of(run)}
    trained = {path: name for path in trained if (name := label(lineage(path)))}
    if len(trained) < 2:
        return []
    return [table for table in (_table_5(evaluations, trained), _table_6(evaluations, trained)) if table is not None]


def _rows(trained: Mapping[str, str]) -> dict[str, str]:
    """Checkpoint -> row name, made unique by the folder where two trainings read alike."""
    names = list(trained.values())
    return {path: name if names.count(name) == 1 else f"{name} ({Path(path).parent.name})" for path, name in trained.items()}


def _table_5(evaluations: Sequence[SavedRun], trained: Mapping[str, str]) -> ScoreTable | None:
    rows, columns, scores = _rows(trained), dict[str, None](), []
    for run in evaluations:
        row, key = rows.get(str(run.config.get("model", {}).get("path", ""))), benchmark_of(run)
        value = headline(run) if key != "vru-accident" else _vru(run)
        if row is None or value is None or key not in BENCHMARKS:
            continue
        columns[BENCHMARKS[key].name] = None
        scores.append(Score(row, BENCHMARKS[key].name, "", value))
        found = ((run.result or {}).get("captions") or {}).get("meteor", {})
        if "value" in found:
            columns[METEOR] = None
            scores.append(Score(row, METEOR, "", Estimate(found["value"])))
    for name, values in TABLE_5.items():
        scores += [
            Score(name, column, "", Estimate(value / 100)) for column, value in zip(("MotionBench", "VRU-Accident", METEOR), values) if column in columns
        ]
    shown = [Model(name, ours=True) for name in dict.fromkeys(rows.values())] + [Model(name) for name in TABLE_5]
    note = "METEOR x 100. Rows marked (paper) are reported, not measured here."
    return ScoreTable("Ablations (the paper's Table 5)", shown, [Column(name, "", name) for name in columns], scores, corner="training", note=note)


def _vru(run: SavedRun) -> Estimate | None:
    """VRU-Accident's mean of six, which stands last."""
    cells = ((run.result or {}).get("table") or {}).get("full") or {}
    cell = cells.get("Avg")
    return None if cell is None else Estimate(cell["value"], cell["low"], cell["high"], cell["num"])


def _table_6(evaluations: Sequence[SavedRun], trained: Mapping[str, str]) -> ScoreTable | None:
    names, columns, rows, scores = _rows(trained), list(BENCHMARKS["motionbench"].columns), list[str](), []
    for run in evaluations:
        name = names.get(str(run.config.get("model", {}).get("path", "")))
        if name is None or benchmark_of(run) != "motionbench":
            continue
        rate = ((run.result or {}).get("protocol") or {}).get("fps")
        row = f"{name}, {rate:g} fps" if rate else name
        rows.append(row)
        scores += [
            Score(row, column, "", Estimate(cell["value"], cell["low"], cell["high"], cell["num"]))
            for column, cell in ((run.result or {}).get("table") or {}).get("full", {}).items()
        ]
    if len(rows) < 2:
        return None
    for name, values in TABLE_6.items():
        scores += [Score(name, column, "", Estimate(value / 100)) for column, value in zip(columns, values, strict=True)]
    note = "The paper probes blocks 29 to 32 of a model that has 28; its other rows are at 1 fps."
    shown = [*(Model(name, ours=True) for name in dict.fromkeys(rows)), *(Model(name) for name in TABLE_6)]
    return ScoreTable("Block and frame rate (the paper's Table 6)", shown, [Column(name, "", name) for name in columns], scores, corner="training", note=note)
