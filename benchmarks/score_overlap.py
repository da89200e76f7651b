"""Decoding and scoring overlap: the whole of `analyse` against the slower of decoding alone and scoring alone.

A 720p H.264 file looked at with the embedded default at 2 fps: one thread decodes, one scores. `ratio` is the whole over the slower of the two;
goal 1.15 at most. Medians of 5, taken in turns; `--quick` takes 3 over a shorter file.

Overlap needs two free cores. `cores_used` says how many each way got (on a busy machine less than one, and then nothing can overlap);
`waited_for_frames` is the share of the whole in which the scorer had no frames to score, whatever else the machine did.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from read_sparse import write_long

from videoperceiver.data.keyframes import analyse
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.video.read import iter_frames

FPS, GOAL = 2, 1.15
KEYWORDS = ("ball rolls",)


def times_of(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU time of one call."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def main() -> int:
    """Prints the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    scorer = load_relevance("proxy")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_long(path, 50 if quick else 100)
        pairs = list(iter_frames(path, fps=FPS, size_px=scorer.size_px))
        frames, t_s = np.stack([pixels for pixels, _ in pairs]), np.array([at_s for _, at_s in pairs])
        scorer.relate(scorer.describe(frames[:16]), t_s[:16], KEYWORDS)  # what is loaded once
        waits: list[float] = []
        works = {
            "decode": lambda: [None for _ in iter_frames(path, fps=FPS, size_px=scorer.size_px, num_threads=1)],
            "score": lambda: scorer.relate(np.concatenate([scorer.describe(frames[i : i + 8]) for i in range(0, len(frames), 8)]), t_s, KEYWORDS),
            "whole": lambda: waits.append(analyse(path, keywords=KEYWORDS, fps=FPS, relevance=scorer).seconds["decode"]),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(3 if quick else 5):
            for name, work in works.items():
                taken[name].append(times_of(work))
    medians = {name: statistics.median(wall_s for wall_s, _ in values) for name, values in taken.items()}
    ratio = medians["whole"] / max(medians["decode"], medians["score"])
    in_turn = (medians["decode"] + medians["score"]) / max(medians["decode"], medians["score"])
    detail = {"seconds": {name: round(value, 2) for name, value in medians.items()}, "frames": len(frames), "ratio_without_overlap": round(in_turn, 2)}
    detail["cores_used"] = {name: round(statistics.median(cpu_s / wall_s for wall_s, cpu_s in values), 2) for name, values in taken.items()}
    detail["waited_for_frames"] = round(statistics.median(waits) / medians["whole"], 2)
    print(json.dumps({"name": "score_overlap", "ratio": round(ratio, 3), "goal": GOAL, "holds": ratio <= GOAL, "detail": detail}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
