"""Run as a program: everything that is tested of Ray, on one local cluster of two workers; prints what came of it as JSON."""

import json
import logging
import os
import sys
import time
from contextlib import closing
from pathlib import Path

from tests.data.executors import workers
from tests.data.executors.conftest import config_of

from videoperceiver.data import build
from videoperceiver.data.executors import ray as on_ray
from videoperceiver.data.executors import run_tasks
from videoperceiver.errors import VideoPerceiverError


def doubled(rows, settings="", **options):
    options = {"died": workers.died, "num_workers": 2, "chunk": 2, **options}
    return run_tasks("ray", workers.make_doubler, settings, rows, **options)


def killed(folder: Path) -> dict:
    """A row that kills once; then two that always kill, in the middle and at the end of a window."""
    rows = [{"n": n} for n in range(9)]
    rows[4]["once"] = str(folder / "once")
    found: dict = {"doubled": list(doubled(rows, str(folder / "mark")))}
    on_ray._RETRIES = 0
    rows = [{"n": n, **({"always": True} if n in (4, 11) else {})} for n in range(14)]
    found["killed"] = list(doubled(rows, str(folder / "mark"), chunk=3))
    on_ray._RETRIES = 3
    return found


def erring() -> dict:
    raised = []
    for kind in ("ours", "theirs"):
        try:
            list(doubled([{"n": 0}, {"n": 1, "error": kind}]))
        except VideoPerceiverError as error:
            raised.append([type(error).__name__, str(error)])
    return {"errors": raised, "task": next(doubled([{"n": 0, "task": True}]))["task"]}


def drawn() -> dict:
    """Windows of 2 x 2 chunks of 2: how far tasks are drawn ahead of what is taken, and how many when it is closed at the first."""
    numbers: list[int] = []

    def tasks():
        for n in range(60):
            numbers.append(n)
            yield {"n": n}

    on_ray._WINDOW = 2
    ahead = [len(numbers) - row["n"] // 2 for row in doubled(tasks())]
    numbers.clear()
    with closing(doubled(tasks())) as outcomes:
        next(outcomes)
    on_ray._WINDOW = 64
    return {"ahead": max(ahead), "taken": len(ahead), "drawn": len(numbers)}


def closed() -> dict:
    """Closed while both workers are busy for minutes: how long until they answer again."""
    with closing(doubled([{"n": n, "sleep_s": 120 * (n > 0)} for n in range(6)], chunk=1)) as outcomes:
        next(outcomes)
        time.sleep(1)
        began_s = time.monotonic()
    answered = list(doubled([{"n": 1}, {"n": 2}], chunk=1))
    return {"answered": [row["n"] for row in answered], "closed_s": time.monotonic() - began_s}


def built(folder: Path, source: str) -> dict:
    """A build whose worker is killed, that is interrupted after four rows, and goes on."""
    build.make_worker = workers.make_dying
    told, seen = build._told, []

    def interrupted(*arguments):
        seen.append(arguments)
        if len(seen) == 5:
            raise KeyboardInterrupt
        told(*arguments)

    build._told = interrupted
    config = config_of(Path(source), folder / "ray", "executor=ray", "runtime.chunk=2")
    try:
        build.run(config)
    except KeyboardInterrupt:
        build._told = told
    lines = len((folder / "ray" / "prepared.jsonl").read_text().splitlines())
    return {"interrupted": lines, "finished": build.run(config).finished}


def main(folder: Path, source: str) -> None:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False, logging_level=logging.ERROR)
    found: dict = {"workers": sum(node["Resources"].get("CPU", 0) for node in ray.nodes())}
    found.update(killed(folder), **erring(), **drawn(), **closed(), **built(folder, source))
    ray.shutdown()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main(Path(sys.argv[1]), sys.argv[2])
