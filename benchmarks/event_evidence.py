"""How much of a faint event is left in the file: the change that each makes in its region's mean colour, over the file's own error there.

    python benchmarks/event_evidence.py [--quick]

Decodes rendered test clips of the lab's preset `faint` and compares each frame with the same frame drawn without its events; distances are in RGB, in grey
levels. The ratio is the smallest change over error among all events; goal 3, so that a model that misses one does not miss it for want of evidence.
`--quick` takes 40 clips instead of 200.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from videoperceiver.lab.dataset import render_dataset, scene_of
from videoperceiver.lab.render import render
from videoperceiver.types import Sample
from videoperceiver.video.read import read_clip

GOAL = 3.0


def evidence(folder: Path, sample: Sample) -> Iterator[tuple[str, float, float]]:
    """(kind, change by the event, root mean square error of the file in frames without events) of each event of a clip."""
    scene = scene_of(sample).scene
    seen = read_clip(folder / sample.video, t_s=sample.t_s).frames.astype(float)  # (T, H, W, 3)
    bare = render(replace(scene, events=())).astype(float)
    busy = {frame for event in scene.events for frame in range(event.start, event.start + event.length)}
    quiet = [frame for frame in range(len(seen)) if frame not in busy]
    rows, columns = np.mgrid[: seen.shape[1], : seen.shape[2]]
    for event in scene.events:
        disc = (columns - event.x_px) ** 2 + (rows - event.y_px) ** 2 <= event.radius_px**2
        region = disc if event.kind == "pop" else np.ones_like(disc)
        off = seen[:, region].mean(axis=1) - bare[:, region].mean(axis=1)  # (T, 3)
        yield event.kind, float(np.linalg.norm(off[event.start])), float(np.sqrt((off[quiet] ** 2).sum(axis=1).mean()))


def main() -> None:
    """Print a line a kind of event, and the verdict as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    num_clips = 40 if parser.parse_args().quick else 200
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        for sample in render_dataset(scratch, num_clips=num_clips, seed=0, split="test", difficulty="faint"):
            for kind, change, error in evidence(Path(scratch), sample):
                found[kind].append((change, error))
    detail, least = {"clips": num_clips}, float("inf")
    for kind, pairs in found.items():
        change, error = np.array(pairs).T
        detail[kind] = {
            "change": [round(float(change.min()), 2), round(float(np.median(change)), 2)],
            "error_median": round(float(np.median(error)), 2),
            "ratio": [round(float((change / error).min()), 1), round(float(np.median(change / error)), 1)],
        }
        least = min(least, float((change / error).min()))
        print(f"{kind}: {detail[kind]}")
    print(json.dumps({"name": "event_evidence", "ratio": round(least, 2), "goal": GOAL, "holds": least >= GOAL, "detail": detail}))


if __name__ == "__main__":
    main()
