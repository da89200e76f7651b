"""The lab's claim about its own cost and its bits: the whole study takes at most four hours on two cores, its quick form ten minutes, and a rerun
of one arm with one seed gives the same row, bit for bit.

    python benchmarks/lab_study.py [--quick] [--folder FOLDER [--seeds N]]

Runs recipes/lab/full.yaml from nothing, with `--quick` recipes/lab/quick.yaml (two seeds, four arms); prints the effects and runs `full` with one
seed again. Two seeds allow no conclusion about the ingredients. A folder is kept and a second call continues in it, with as many seeds as it is told:
the seconds of all calls are added up in its `seconds.txt`, those of a killed one to within five of them, and what it had half done is done and counted
again. The verdict comes with the last seed; its ratio is seconds used over those allowed, null where the folder held rows that were not timed.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from videoperceiver.config import load
from videoperceiver.lab import ablate, rows
from videoperceiver.lab.finding import judge
from videoperceiver.lab.finding_words import sentence
from videoperceiver.lab.study import StudyConfig
from videoperceiver.lab.worlds import recipe
from videoperceiver.runs import write_atomic

SECONDS = "seconds.txt"
ALLOWED_S = {"full": 4 * 3600.0, "quick": 600.0}


def main() -> None:
    """Run the study and one arm of it again; print the effects, and the verdict as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="kept, so that a second call continues; default: a temporary one")
    parser.add_argument("--seeds", type=int, help="only the first so many, another call does more; default: all")
    options = parser.parse_args()
    form = "quick" if options.quick else "full"
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        config = load(StudyConfig, recipe(f"lab/{form}.yaml"), [f"output={folder / 'out'}", f"backbones={folder / 'seeds'}"])
        asked = replace(config, num_seeds=min(options.seeds or config.num_seeds, config.num_seeds))
        timed = (folder / SECONDS).exists() or not ablate.finished(config)
        with clock(folder / SECONDS):
            found = rows.read(ablate.run(asked))
        seconds, total = float((folder / SECONDS).read_text(encoding="utf-8")), sum(1 for _ in ablate.units(config))
        if len(found) < total:
            return print(f"{len(found)} of {total} rows in {seconds:.0f} s; call it again in the same folder for the rest")
        differing = ablate.check(config, "full", config.first_seed)
    for judged in judge(config, found):
        print(sentence(judged))
    print(f"{len(found)} rows in {seconds:.0f} s; the rerun of arm full: {'differs in ' + ', '.join(differing) if differing else 'the same bits'}")
    ratio = round(seconds / ALLOWED_S[form], 3) if timed else None
    detail = {"form": form, "seconds": round(seconds, 1) if timed else None, "rows": len(found), "reproduced": not differing}
    print(json.dumps({"name": "lab_study", "ratio": ratio, "goal": 1.0, "holds": not differing and (ratio is None or ratio <= 1.0), "detail": detail}))


@contextmanager
def clock(path: Path) -> Iterator[None]:
    """Adds the seconds spent inside to those in a file, every five of them, so that a kill loses no more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    earlier, began, over = float(path.read_text(encoding="utf-8")) if path.exists() else 0.0, time.monotonic(), threading.Event()

    def count() -> None:
        ended = False
        while not ended:
            ended = over.wait(5.0)
            write_atomic(path, f"{earlier + time.monotonic() - began:.1f}\n")

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
