"""Stage 0 without a language model: clips a second on two cores, where the time goes, Ray beside the process pool, and memory over 100,000 rows.

Clips of 3 seconds, 320 x 240, H.264 at 25 fps (30 to 40 kB) with a brief event each and a caption, sampled at 8 frames; keywords by spaCy, relevance by the
embedded proxy, duplicates by perceptual hash. Three ways prepare the same clips in turns: this process on one core, the pool of two workers, two Ray workers.
`ratio` is the rate of the pool over that of one process; goal 1.6. It holds if also the pool makes at least 20 clips a second, Ray no less than 0.9 of the
pool, all three the same rows, and the peak memory of a build over 100,000 rows of tiny clips exceeds that over 1,000 by less than a tenth. Rates leave out
what a process does once (imports, networks, the cluster) and the end, when some have nothing left: each worker writes down when it began and ended a chunk,
and counted is the time in which all were at work. `--quick` takes fewer clips, one turn, and 5,000 rows in place of 100,000. Workers use one thread each.
"""

import argparse
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from PIL import Image

from videoperceiver.config import dump, load
from videoperceiver.data import manifest
from videoperceiver.data.executors import run_tasks
from videoperceiver.data.media import Media
from videoperceiver.data.outcomes import Outcome, Task
from videoperceiver.data.prepare import make_worker
from videoperceiver.data.schema import to_row
from videoperceiver.stages import DataConfig
from videoperceiver.types import Sample
from videoperceiver.video.write import write_mp4

GOAL_RATE, GOAL_RATIO, GOAL_RAY, GOAL_MEMORY = 20.0, 1.6, 0.9, 1.1
FPS, NUM_FRAMES, SECONDS = 25, 8, 3
CHUNK = 8
CAPTIONS = (
    "A man in a red shirt opens the door and walks out of the room.",
    "The dog jumps over the fence while a woman waves her hand.",
    "A cyclist turns left and a car brakes hard at the crossing.",
    "She picks up the cup, drinks, and puts it back on the table.",
)


def clip(path: Path, seed: int) -> None:
    """A textured scene with grain, something that moves, and something that flashes."""
    rng = np.random.default_rng(seed)
    scene = np.asarray(Image.fromarray(rng.integers(30, 220, (12, 24, 3), dtype=np.uint8)).resize((480, 240), Image.Resampling.BICUBIC))
    scene = np.minimum(scene, 220) + rng.integers(0, 16, (240, 480, 1), dtype=np.uint8)
    grain = rng.integers(0, 5, (4, 240, 320, 1), dtype=np.uint8)
    at, (y, x) = int(rng.integers(10, 60)), rng.integers(20, 150, 2)

    def frames():
        for i in range(FPS * SECONDS):
            frame = scene[:, 2 * i : 2 * i + 320] + grain[i % 4]
            frame[100:140, (4 * i) % 280 : (4 * i) % 280 + 40] = 240
            if at <= i < at + 6:
                frame[y : y + 60, x : x + 60] = 255 - frame[y : y + 60, x : x + 60]
            yield frame

    write_mp4(frames(), path, fps=FPS, crf=23)


def recipe(folder: Path, name: str) -> Path:
    """The stage's config as a file: V is the 8 frames that are sampled, no event is made rarer."""
    overrides = ["source=x", f"output={folder / name}", f"fps={NUM_FRAMES / SECONDS}", "target_share=1"]
    path = folder / f"{name}.yaml"
    path.write_text(dump(load(DataConfig, None, overrides)))
    return path


def tasks(folder: Path, num: int) -> list[dict]:
    """Clips with captions; their media are drawn once."""
    made = []
    for i in range(num):
        path = folder / "clips" / f"{i:04d}.mp4"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            clip(path, i)
        made.append(Task(Sample(path.name, path.name, "", "train", "bench", (), CAPTIONS[i % 4]), Media(str(path))).to_json())
    return made


class Stamped:
    """A worker of stage 0 that writes into its outcomes when it did them."""

    def __init__(self, recipe: str):
        self._worker, self.close = (worker := make_worker(recipe)), worker.close

    def answer(self, rows: list[dict]) -> list[dict]:
        """The worker's own outcomes."""
        began_s = time.time()
        made = self._worker.answer(rows)
        stamp = {"chunk_s": [began_s, time.time()], "worker": os.getpid()}
        return [row | stamp for row in made]


def stamped(recipe: str) -> Stamped:
    """For executors, which import it by name."""
    return Stamped(recipe)


def run(executor: str, workers: int, settings: Path, rows: list[dict]) -> list[dict]:
    """All outcomes, with times."""
    worker = import_module(Path(__file__).stem).stamped  # not this module's own: other processes could not import `__main__`
    with closing(run_tasks(executor, worker, str(settings), rows, died=_died, num_workers=workers, chunk=CHUNK)) as outcomes:
        return list(outcomes)


def rate(made: list[dict], workers: int) -> float:
    """Clips a second while all workers were at work, by their own clocks: from when each had ended its first chunk to when the last chunk was begun."""
    firsts: dict[int, float] = {}
    for row in made:
        firsts[row["worker"]] = min(firsts.get(row["worker"], row["chunk_s"][1]), row["chunk_s"][1])
    start_s, stop_s = sorted(firsts.values())[workers - 1], max(row["chunk_s"][0] for row in made)
    shares = ((min(end_s, stop_s) - max(begin_s, start_s)) / (end_s - begin_s) for begin_s, end_s in (row["chunk_s"] for row in made))
    return sum(max(share, 0.0) for share in shares) / (stop_s - start_s)


def _died(row: dict, ending: str) -> dict:
    raise RuntimeError(f"a worker died: {ending}")


def same(one: list[dict], other: list[dict]) -> bool:
    """Whether two ways gave the same rows."""
    rows = [[to_row(Outcome.from_json(row).sample) for row in made] for made in (one, other)]
    return rows[0] == rows[1]


def peak_mb(folder: Path, num_rows: int) -> tuple[float, float]:
    """Peak memory (MB) of a build over so many rows, in a process of its own with one worker, and rows a second."""
    media = folder / "tiny"
    if not media.exists():
        media.mkdir()
        for i in range(16):
            tiny(media / f"{i}.avi", i)
    samples = (Sample(f"{i}", f"tiny/{i % 16}.avi", "", "train", "bench", (0.0, 0.12), "", keywords=(f"event {i}",), seed=i) for i in range(num_rows))
    manifest.write(samples, folder / "rows.parquet")
    overrides = [f"source={folder / 'rows.parquet'}", f"output={folder / 'built'}", "relevance=motion", "runtime.num_workers=1", "runtime.chunk=64"]
    began_s = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--build", *overrides, "validate.duplicates=mark"], capture_output=True, text=True, check=True)
    shutil.rmtree(folder / "built")
    return float(done.stdout.splitlines()[-1]), num_rows / (time.perf_counter() - began_s)


def tiny(path: Path, seed: int) -> None:
    """Four raw frames of 32 x 32."""
    frames = np.random.default_rng(seed).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def build(overrides: list[str]) -> None:
    """In the subprocess: a build, and what it took at most."""
    from videoperceiver.data import build as stage

    stage.run(load(DataConfig, None, overrides))
    status = Path("/proc/self/status").read_text()  # unlike getrusage, it does not count what the parent held
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def split(made: list[dict]) -> dict[str, float]:
    """Processor milliseconds a clip, by phase."""
    seconds: Counter[str] = Counter()
    for row in made:
        seconds.update(row["seconds"])
    return {phase: round(1000 * value / len(made), 2) for phase, value in seconds.most_common()}


def measure(folder: Path, quick: bool) -> dict:
    """All figures."""
    num, turns = (96, 1) if quick else (192, 3)
    rows, rates = tasks(folder, num), {"one process": [], "pool": [], "ray": []}
    ways = {"one process": ("local", 1), "pool": ("local", 2), **({"ray": ("ray", 2)} if find_spec("ray") else {})}
    outcomes: dict[str, list[dict]] = {}
    cores = os.sched_getaffinity(0)
    if "ray" in ways:
        import ray

        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False, logging_level=logging.ERROR)
    for turn in range(turns):
        for name, (executor, workers) in ways.items():
            if workers == 1:
                os.sched_setaffinity(0, sorted(cores)[:1])  # its decoder too
            outcomes[name] = run(executor, workers, recipe(folder, f"{name} {turn}"), rows)
            os.sched_setaffinity(0, cores)
            rates[name].append(rate(outcomes[name], workers))
    if "ray" in ways:
        ray.shutdown()
    few, many = 1000, 5000 if quick else 100_000
    memory = {count: peak_mb(folder, count) for count in (few, many)}
    medians = {name: statistics.median(found) for name, found in rates.items() if found}
    return {
        "clips_per_s": {name: round(value, 2) for name, value in medians.items()},
        "ray_over_pool": round(medians["ray"] / medians["pool"], 3) if "ray" in medians else "not measured: Ray is not installed",
        "same_rows": all(same(outcomes["one process"], made) for made in outcomes.values()),
        "cpu_ms_a_clip": split(outcomes["pool"][2 * CHUNK :]),
        "peak_mb": {str(count): round(peak, 1) for count, (peak, _) in memory.items()},
        "rows_per_s_tiny": round(memory[many][1], 1),
        "hours_80k": round(80_000 / medians["pool"] / 3600, 2),
        "days_10m": round(10_000_000 / medians["pool"] / 86400, 2),
    }


def main() -> None:
    """Prints the split, the projections and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", RAY_USAGE_STATS_ENABLED="0")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    logging.disable(logging.WARNING)
    if arguments.build:
        build(arguments.build)
        return
    with tempfile.TemporaryDirectory() as folder:
        detail = measure(Path(folder), arguments.quick)
    rates, peaks = detail["clips_per_s"], list(detail["peak_mb"].values())
    ratio = rates["pool"] / rates["one process"]
    ray = detail["ray_over_pool"]
    detail["holds_by_part"] = {
        "rate": rates["pool"] >= GOAL_RATE,
        "ratio": ratio >= GOAL_RATIO,
        "ray": isinstance(ray, float) and ray >= GOAL_RAY,
        "same rows": detail["same_rows"],
        "memory": peaks[1] <= GOAL_MEMORY * peaks[0],
    }
    print(f"80,000 clips: {detail['hours_80k']} h on two cores; 10 million: {detail['days_10m']} days on two cores, or as much less as there are more")
    for phase, value in detail["cpu_ms_a_clip"].items():
        print(f"{phase:12} {value:8.2f} ms of processor time a clip")
    holds = all(detail["holds_by_part"].values())
    print(json.dumps({"name": "data_rate", "ratio": round(ratio, 3), "goal": GOAL_RATIO, "holds": holds, "detail": detail}))


if __name__ == "__main__":
    main()
