"""Run as a program: everything that is tested of Ray, on one local cluster of two workers; prints what came of it as JSON."""

import json
import logging
import os
import sys
from pathlib import Path

from tests.data.executors import workers
from tests.data.executors.conftest import config_of

from videoperceiver.data import build
from videoperceiver.data.executors import ray as on_ray
from videoperceiver.data.executors import run_tasks
from videoperceiver.errors import VideoPerceiverError


def main(folder: Path, source: str) -> None:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False, logging_level=logging.ERROR)
    found: dict = {"workers": sum(node["Resources"].get("CPU", 0) for node in ray.nodes())}
    rows = [{"n": n} for n in range(9)]
    rows[4]["once"] = str(folder / "once")
    found["doubled"] = list(run_tasks("ray", workers.make_doubler, str(folder / "mark"), rows, died=workers.died, num_workers=2, chunk=2))
    on_ray._RETRIES = 0
    rows[4] = {"n": 4, "always": True}
    found["killed"] = list(run_tasks("ray", workers.make_doubler, str(folder / "mark"), rows[3:6], died=workers.died, num_workers=2, chunk=3))
    on_ray._RETRIES = 3
    try:
        list(run_tasks("ray", workers.make_doubler, "", [{"n": 0, "error": "ours"}], died=workers.died))
    except VideoPerceiverError as error:
        found["error"] = [type(error).__name__, str(error)]
    build.make_worker = workers.make_dying
    run = build.run(config_of(Path(source), folder / "ray", "executor=ray", "runtime.chunk=2"))
    found["finished"] = run.finished
    ray.shutdown()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main(Path(sys.argv[1]), sys.argv[2])
