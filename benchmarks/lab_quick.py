"""The lab's claim in small: a study runs from nothing within ten minutes on two cores, and a rerun of one of its arms gives the same row, bit for bit.

    python benchmarks/lab_quick.py [--quick] [--folder FOLDER]

Runs recipes/lab/quick.yaml (two seeds, four arms), prints its effects and runs `full` with one seed again. Two seeds allow no conclusion about the
ingredients: that is what recipes/lab/full.yaml is for. `--quick` does the same with clips and steps far too few to learn anything. The ratio is
seconds used over the 600 allowed; `holds` is null in the quick form where only the bits are looked at.
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

GOAL_S = 600.0
SMALL = ["num_seeds=1", "num_workers=1", "demo.backbone_clips=4", "demo.train_clips=4", "demo.test_clips=2", "demo.backbone_steps=[1,1]"]


def study(folder: Path, quick: bool) -> StudyConfig:
    """The quick study in a folder; in the quick form with everything as small as it gets."""
    fields = [f"output={folder / 'out'}", f"backbones={folder / 'seeds'}", *(SMALL if quick else [])]
    config = load(StudyConfig, recipe("lab/quick.yaml"), fields)
    if not quick:
        return config
    for name in config.arms:
        config.arms[name].set.update({"batch_size": 2, "steps": 1})
    for name in ("full-random", "plain-cpu"):
        del config.arms[name]
    config.claims[1:] = []
    return config


def main() -> None:
    """Run the study and one arm of it again; print the effects, and the verdict as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="kept, so that a second call continues; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        config = study(options.folder or Path(scratch), options.quick)
        began = time.monotonic()
        found = rows.read(ablate.run(config))
        seconds = time.monotonic() - began
        differing = ablate.check(config, "full", config.first_seed)
    for judged in judge(config, found):
        print(sentence(judged))
    print(f"{len(found)} rows in {seconds:.0f} s; the rerun of arm full: {'differs in ' + ', '.join(differing) if differing else 'the same bits'}")
    holds = not differing and (None if options.quick else seconds < GOAL_S)
    detail = {"seconds": round(seconds, 1), "rows": len(found), "reproduced": not differing, "quick": options.quick}
    print(json.dumps({"name": "lab_quick", "ratio": round(seconds / GOAL_S, 3), "goal": 1.0, "holds": holds, "detail": detail}))


if __name__ == "__main__":
    main()
