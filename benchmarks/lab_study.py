"""The lab's claim about its own cost and its bits: the whole study takes at most four hours on two cores, its quick form ten minutes, and a rerun
of one arm with one seed gives the same row, bit for bit.

    python benchmarks/lab_study.py [--quick] [--folder FOLDER]

Runs recipes/lab/full.yaml from nothing, with `--quick` recipes/lab/quick.yaml (two seeds, four arms); prints the effects and runs `full` with one
seed again. Two seeds allow no conclusion about the ingredients. The ratio is seconds used over those allowed; both are null where a folder already
held rows, and then only the bits are looked at.
"""

import argparse
import json
import os
import tempfile
import time
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

ALLOWED_S = {"full": 4 * 3600.0, "quick": 600.0}


def main() -> None:
    """Run the study and one arm of it again; print the effects, and the verdict as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="kept, so that a second call continues; default: a temporary one")
    options = parser.parse_args()
    form = "quick" if options.quick else "full"
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        config = load(StudyConfig, recipe(f"lab/{form}.yaml"), [f"output={folder / 'out'}", f"backbones={folder / 'seeds'}"])
        fresh, began = not ablate.finished(config), time.monotonic()
        found = rows.read(ablate.run(config))
        seconds = time.monotonic() - began
        differing = ablate.check(config, "full", config.first_seed)
    for judged in judge(config, found):
        print(sentence(judged))
    print(f"{len(found)} rows in {seconds:.0f} s; the rerun of arm full: {'differs in ' + ', '.join(differing) if differing else 'the same bits'}")
    ratio = round(seconds / ALLOWED_S[form], 3) if fresh else None
    detail = {"form": form, "seconds": round(seconds, 1) if fresh else None, "rows": len(found), "reproduced": not differing}
    print(json.dumps({"name": "lab_study", "ratio": ratio, "goal": 1.0, "holds": not differing and (ratio is None or ratio <= 1.0), "detail": detail}))


if __name__ == "__main__":
    main()
