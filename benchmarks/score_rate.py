"""Scoring alone: 100,000 predictions from a file to result.json in under 20 s on one core.

Everything that scoring does is in it: reading the answers, the parser on each completion (short ones, reasoning, hazards), rows written to disk, tables
with intervals clustered by video. The ratio is the seconds of 20 that are left over: 20 s / measured, at least 1. Memory is told beside it.
"""

import json
import random
import resource
import tempfile
import time
from pathlib import Path

from tree_common import arguments, report

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.stages import EvaluateConfig

BUDGET_S, TOTAL = 20.0, 100_000
KINDS = ("Motion Recognition", "Location-related Motion", "Camera Motion", "Motion-related Objects", "Action Order", "Repetition Count")
SHAPES = (
    "{0}",
    "{0}.",
    "({0}) he sits down",
    "The answer is {0}",
    "<think>The man stands, then he walks to the door and opens it.</think><answer>{0}</answer>",
    "Looking at the frames, the car turns left before the man appears, so I choose {0}.",
    "I cannot tell.",
)


def write(folder: Path, num: int) -> list[str]:
    """Annotations in MotionBench's layout, four questions a video, and answers; the config's fields."""
    rng = random.Random(0)
    options = "What happens?\nA. he sits down\nB. he stands up\nC. he runs\nD. nothing"
    with (folder / "video_info.meta.jsonl").open("w") as rows, (folder / "answers.jsonl").open("w") as answers:
        for i in range(num):
            key, uid, reference = f"v{i // 4}", f"u{i}", "ABCD"[i % 4]
            qa = [{"uid": uid, "start": None, "end": None, "answer": reference, "question": options}]
            rows.write(json.dumps({"question_type": KINDS[i // 4 % 6], "key": key, "qa": qa, "video_path": f"{key}.mp4"}) + "\n")
            said = rng.choice(SHAPES).format(reference if rng.random() < 0.6 else rng.choice("ABCD"))
            answers.write(json.dumps({"sample": key, "question": uid, "completion": said}) + "\n")
    return [
        "benchmark.name=motionbench",
        f"benchmark.annotations={folder / 'video_info.meta.jsonl'}",
        "engine.kind=file",
        f"engine.answers={folder / 'answers.jsonl'}",
        "conditions=[full]",
        "model.path=theirs",
        "batch_size=512",
    ]


def main() -> None:
    """Measure and report; the quick form scores a fifth and counts its seconds five times."""
    num = TOTAL // 5 if arguments(__doc__).quick else TOTAL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fields = write(folder, num)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        run = evaluate.run(load(EvaluateConfig, None, [*fields, f"output={folder / 'run'}"]))
        seconds = (time.process_time() - start) * TOTAL / num
        accuracy = json.loads((run.folder / "result.json").read_text())["accuracy"]["full"]["all"]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    detail = {"seconds_for_100000": round(seconds, 1), "scored": accuracy["num"], "peak_memory_grown_mb": round(grown / 1024)}
    report("score_rate", BUDGET_S / seconds, 1.0, detail)


if __name__ == "__main__":
    main()
