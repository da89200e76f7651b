"""A benchmark of your own: which of two clips of a pair shows the flash? Rendered here, then asked of a tiny model on V, V', blank frames and text alone.

Run: python examples/custom_benchmark.py. It needs no download, no GPU and about ten seconds; the model is random, so its answers are too.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.benchmarks import BENCHMARKS, Annotations, Benchmark, Protocol
from videoperceiver.evaluation.benchmarks.base import Collector, find, read_rows
from videoperceiver.evaluation.columns import pool
from videoperceiver.evaluation.metrics import Row, score
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.stages import EvaluateConfig
from videoperceiver.types import Question
from videoperceiver.video.write import write_mp4

SOURCE = "https://example.org/flashes"
PROTOCOL = Protocol(prompt={"text": "{question} Answer yes or no."}, num_frames=8, fps=None, max_new_tokens=2, source=SOURCE)


def read_flashes(path: Path) -> Annotations:
    """The reader: official rows to questions; what is broken is set aside with its reason."""
    found = Collector("flashes")
    for file in find(path, SOURCE, "flashes*.jsonl"):
        for row in read_rows(file):
            if row["answer"] not in ("yes", "no"):
                found.reject(row["clip"], f"answer is {row['answer']!r}, expected yes or no", row["clip"])
                continue
            text = PROTOCOL.prompt["text"].format(question=row["question"])
            found.ask(row["clip"], f"{row['clip']}.mp4", Question(row["clip"], text, row["answer"], "yes_no", "flash", ("yes", "no")), pair=row["pair"])
    return found.annotations()


def both_right(rows: Sequence[Row]) -> list[tuple[float, str]]:
    """A column's measure: 1 for each pair with both clips right, so that always saying "yes" scores 0."""
    pairs: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        pairs[row["tags"]["pair"]].append(score(row))
    return [(float(min(values) == 1.0), f"pair {name}") for name, values in pairs.items() if len(values) == 2]


BENCHMARKS["flashes"] = Benchmark("Flashes", PROTOCOL, read_flashes, {"pairs": both_right, "questions": pool()}, counts={"flash": 8})


def render(folder: Path) -> None:
    """Four pairs of clips, alike but for one bright frame."""
    rng = np.random.default_rng(0)
    with (folder / "flashes.jsonl").open("w") as rows:
        for pair in range(4):
            for answer in ("yes", "no"):
                frames = rng.integers(0, 60, (16, 32, 32, 3), dtype=np.uint8)
                frames[9] += np.uint8(180 * (answer == "yes"))
                write_mp4(list(frames), folder / f"{pair}-{answer}.mp4", fps=8)
                rows.write(json.dumps({"clip": f"{pair}-{answer}", "pair": pair, "question": "Is there a flash ?", "answer": answer}) + "\n")


def main() -> None:
    """Render, evaluate, print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        render(folder)
        words = [*["Is", "there", "a", "flash", "?", "Answer", "yes", "or", "no."], "no"]
        model = build_tiny(folder / "model", sorted(set(words)), hidden_size=64, num_layers=2, vision_hidden_size=32, vision_depth=1)
        fields = [
            "benchmark.name=flashes",
            f"benchmark.annotations={folder / 'flashes.jsonl'}",
            f"benchmark.videos={folder}",
            f"model.path={model}",
            "model.dtype=float32",
            f"output={folder / 'run'}",
            "conditions=[full,degraded,blank,text]",
            "evidence.keywords=question",
            "evidence.relevance=motion",
        ]
        run = evaluate.run(load(EvaluateConfig, None, fields))
        result = json.loads((run.folder / "result.json").read_text())
    for condition, cells in result["table"].items():
        print(condition, {column: None if cell["value"] is None else round(100 * cell["value"], 1) for column, cell in cells.items()})
    print("protocol", result["protocol"]["digest"], "wrong counts:", result["miscounts"])


if __name__ == "__main__":
    main()
