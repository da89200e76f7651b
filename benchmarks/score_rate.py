"""Scoring alone: 100,000 predictions from a file to result.json in under 20 s on one core, in the memory that 10,000 take.

Everything that scoring does is in it: reading the answers, the parser on each completion (short ones, reasoning, hazards), rows written to disk, tables
with intervals clustered by video. The ratio is the seconds of 20 that are left over: 20 s / measured, at least 1. Each size runs in a process of its own;
where the peak of the larger one is more than a tenth above that of the smaller one, the ratio is 0.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tree_common import arguments, report

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.stages import EvaluateConfig

BUDGET_S, TOTAL, FEWER, FLAT = 20.0, 100_000, 10, 1.1
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


def score(num: int) -> dict[str, float]:
    """Seconds, answers scored and peak memory (MB) of one run; the peak before it is what the imports alone take."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fields = write(folder, num)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = time.process_time()
        run = evaluate.run(load(EvaluateConfig, None, [*fields, f"output={folder / 'run'}"]))
        seconds = time.process_time() - start
        accuracy = json.loads((run.folder / "result.json").read_text())["accuracy"]["full"]["all"]
    return {"seconds": seconds, "scored": accuracy["num"], "before_mb": before, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def apart(num: int) -> dict[str, float]:
    """`score` in a process of its own, whose peak is nobody else's."""
    done = subprocess.run([sys.executable, __file__, str(num)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure and report; the quick form scores a fifth and counts its seconds five times."""
    num = TOTAL // 5 if arguments(__doc__).quick else TOTAL
    few, many = apart(num // FEWER), apart(num)
    seconds, flat = many["seconds"] * TOTAL / num, many["peak_mb"] <= FLAT * few["peak_mb"]
    detail = {"seconds_for_100000": round(seconds, 1), "scored": many["scored"], "imports_mb": round(few["before_mb"])}
    detail |= {f"peak_mb_{num // FEWER}": round(few["peak_mb"]), f"peak_mb_{num}": round(many["peak_mb"]), "memory_flat": flat}
    report("score_rate", BUDGET_S / seconds if flat else 0.0, 1.0, detail)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].isdigit():
        print(json.dumps(score(int(sys.argv[1]))))
    else:
        main()
