"""One hour of 720p through `analyse` at 2 fps with the embedded default: peak memory over the process with its models loaded.

`ratio` is 500 MB over that peak; goal 1. `--quick` measures one and three minutes and extrapolates to the hour by the line through them.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from read_sparse import write_long

from videoperceiver.data.keyframes import analyse
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.scoring.scorer import RelevanceScorer

BOUND_MB, FPS, HOUR_S = 500, 2, 3600
KEYWORDS = ("ball rolls",)


def memory_mb(field: str) -> float:
    """A field of this process's status, such as VmRSS."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024


def write_apart(path: Path, seconds: int) -> None:
    """Writes the video in another process, whose memory is not counted."""
    writer = multiprocessing.get_context("spawn").Process(target=write_long, args=(path, seconds))
    writer.start()
    writer.join()


def peak_over_mb(path: Path, scorer: RelevanceScorer, end_s: float, baseline_mb: float) -> tuple[float, dict[str, float]]:
    """Highest resident memory during one analysis up to `end_s`, over the baseline, and where its time went."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    found = analyse(path, keywords=KEYWORDS, fps=FPS, relevance=scorer, span=(0, end_s))
    print(f"{found.t_s[-1]:.0f} s of video, {len(found.t_s)} frames: peak {memory_mb('VmHWM') - baseline_mb:.0f} MB over {baseline_mb:.0f} MB")
    return memory_mb("VmHWM") - baseline_mb, found.seconds


def main() -> int:
    """Prints the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s: one and three minutes, extrapolated")
    quick = parser.parse_args().quick
    scorer = load_relevance("proxy")
    with tempfile.TemporaryDirectory() as folder:
        path, lengths = Path(folder) / "long.mp4", (60, 180) if quick else (HOUR_S,)
        write_apart(path, lengths[-1])
        analyse(path, keywords=KEYWORDS, fps=FPS, relevance=scorer, span=(0, 5))  # everything that is loaded once
        baseline_mb, peaks = memory_mb("VmRSS"), {}
        for end_s in lengths:
            peaks[end_s], phases = peak_over_mb(path, scorer, end_s, baseline_mb)
    peak = peaks[60] + (peaks[180] - peaks[60]) / 120 * (HOUR_S - 60) if quick else peaks[HOUR_S]
    detail = {
        "peak_over_loaded_mb": round(peak),
        "loaded_mb": round(baseline_mb),
        "measured_mb": {f"{seconds} s": round(value) for seconds, value in peaks.items()},
        "extrapolated": quick,
        "frames": HOUR_S * FPS,
        "seconds": {phase: round(value, 1) for phase, value in phases.items()},
    }
    print(json.dumps({"name": "keyframes_memory", "ratio": round(BOUND_MB / max(peak, 1), 2), "goal": 1.0, "holds": peak <= BOUND_MB, "detail": detail}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
