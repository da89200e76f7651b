"""`find` over one hour of 720p: its time beside decoding at the coarse rate plus scoring, its memory, and when the first ranking comes.

    python benchmarks/find_hour.py [--quick]

Motion is the scorer, so that what is compared is the search and not a network. `ratio` is the whole time over that of decoding and scoring in turn;
goal 1.2. `holds` asks as well for at most 1 GB over the process before, and a first ranking before half of the file is read. `--quick` takes three
minutes of video, of which the close looks, whose number does not grow with the video, take a larger share.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from read_sparse import write_long

from videoperceiver.inference.perceiver import COARSE_FPS, VideoPerceiver
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.video.read import iter_frames

BOUND, BOUND_MB, HOUR_S = 1.2, 1000, 3600


def memory_mb(field: str) -> float:
    """A field of this process's status, such as VmRSS."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def parts_s(path: Path) -> dict[str, float]:
    """Seconds of decoding at the coarse rate alone, and of scoring what was decoded alone."""
    scorer = load_relevance("motion")
    began, spent, records, times_s = time.perf_counter(), 0.0, [], []
    for frame, at_s in iter_frames(path, fps=COARSE_FPS, size_px=scorer.size_px):
        start = time.perf_counter()
        records.append(scorer.describe(frame[None]))
        times_s.append(at_s)
        spent += time.perf_counter() - start
    decoding = time.perf_counter() - began - spent
    start = time.perf_counter()
    scorer.relate(np.concatenate(records), np.array(times_s), ("ball rolls",))
    return {"decode": decoding, "score": spent + time.perf_counter() - start}


def found_s(path: Path, length_s: int) -> tuple[float, float]:
    """Seconds of a whole search, and up to which share of the video had been seen at its first ranking."""
    began, first = time.perf_counter(), 0.0
    for found in VideoPerceiver(None, relevance="motion", keywords=lambda texts: [()] * len(texts)).find(path, "a ball rolls"):
        first = first or found.seen_s / length_s
    return time.perf_counter() - began, first


def main() -> int:
    """Prints the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s: three minutes of video")
    length_s = 180 if parser.parse_args().quick else HOUR_S
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        writer = multiprocessing.get_context("spawn").Process(target=write_long, args=(path, length_s))  # its memory is not counted
        writer.start()
        writer.join()
        before_mb = memory_mb("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        whole, first = found_s(path, length_s)
        peak_mb = memory_mb("VmHWM") - before_mb
        parts = parts_s(path)
    ratio = whole / sum(parts.values())
    print(f"find {whole:.1f} s; decoding {parts['decode']:.1f} s + scoring {parts['score']:.1f} s; peak {peak_mb:.0f} MB; first after {100 * first:.0f} %")
    detail = {
        "seconds": {"find": round(whole, 1), **{k: round(v, 1) for k, v in parts.items()}},
        "peak_mb": round(peak_mb),
        "first_at": round(first, 3),
        "length_s": length_s,
    }
    holds = ratio <= BOUND and peak_mb <= BOUND_MB and first < 0.5
    print(json.dumps({"name": "find_hour", "ratio": round(ratio, 3), "goal": BOUND, "holds": holds, "detail": detail}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
