"""One tiny model, two harnesses: `videoperceiver evaluate` and lmms-eval's own command line must get the same answers and scores.

Run by `make lmms` from the repository's root, in an environment that holds lmms-eval: python -m tests.lmms_env.cross_check FOLDER
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.evaluation.stand_ins import render, words_of, write_official

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.ledger import iterate
from videoperceiver.evaluation.lmms.tasks import OFFERED, write
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.stages import EvaluateConfig


def ours(name: str, root: Path, model: Path) -> dict[str, tuple[str, str | None, float]]:
    """Question asked -> completion, what was read out of it, score."""
    fields = {"name": name, "annotations": root / name / "annotations", "videos": root / name / "videos"}
    overrides = [f"benchmark.{key}={value}" for key, value in fields.items()]
    overrides += [f"model.path={model}", "model.dtype=float32", "conditions=[full]", f"output={root / 'ours' / name}"]
    run = evaluate.run(load(EvaluateConfig, None, overrides))
    rows = [row for row in iterate(run.folder / "predictions.jsonl") if row["kind"] != "open"]
    return {f"{row['sample']}/{row['question']}": (row["completion"], row["extracted"], row["score"] or 0.0) for row in rows}


def theirs(name: str, root: Path, model: Path) -> tuple[dict[str, tuple[str, str | None, float]], float]:
    """The same from lmms-eval's log, and its score of the task."""
    protocol, task = BENCHMARKS[name].protocol, name.replace("-", "_")
    frames = f"fps={protocol.fps}" if protocol.fps else f"max_num_frames={protocol.num_frames}"
    arguments = f"pretrained={model},dtype=float32,{frames},spread={protocol.spread},text_first={protocol.text_first}"
    command = [sys.executable, "-m", "lmms_eval", "--model", "videoperceiver", "--model_args", arguments, "--include_path", str(root / "tasks")]
    command += ["--tasks", task, "--batch_size", "1", "--log_samples", "--output_path", str(root / "out" / name)]
    subprocess.run(command, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"})
    [log], [table] = (list((root / "out" / name).rglob(pattern)) for pattern in (f"*_samples_{task}.jsonl", "*_results.json"))
    asked = [json.loads(line) for line in (root / "tasks" / f"{task}.jsonl").read_text().splitlines()]
    said = {}
    for line in log.read_text().splitlines():
        row = json.loads(line)
        read, doc = row["videoperceiver_score"], asked[row["doc_id"]]
        said[f"{doc['sample']}/{doc['question']}"] = (row["filtered_resps"], read["extracted"], read["score"])
    return said, json.loads(table.read_text())["results"][task]["videoperceiver_score,none"]


def main() -> None:
    """Compare and say how many answers agree."""
    root = Path(sys.argv[1]).resolve()
    words = {"A", "B", "C", "D"}
    for name in OFFERED:
        annotations = write_official(name, root / name / "annotations")
        videos = render(name, annotations, root / name / "videos")
        words |= words_of(name, annotations)
        write(name, annotations, videos, root / "tasks")
    model = build_tiny(root / "model", sorted(words), hidden_size=64, num_layers=2, vision_hidden_size=32, vision_depth=1)
    for name in OFFERED:
        mine, (other, score) = ours(name, root, model), theirs(name, root, model)
        table = json.loads((root / "ours" / name / "result.json").read_text())["table"]["full"]
        headline = 100 * table.get("Avg", next(iter(table.values())))["value"]
        differing = [question for question in mine if mine[question] != other.get(question)]
        sys.stdout.write(f"{name}: {len(mine) - len(differing)} of {len(mine)} answers agree; {headline:.4f} % here, {score:.4f} % there\n")
        if differing or len(mine) != len(other) or abs(headline - score) > 1e-9:
            raise SystemExit(f"{name}: the harnesses differ, first on {differing[:3]}: {[(mine[q], other.get(q)) for q in differing[:3]]}")


if __name__ == "__main__":
    main()
