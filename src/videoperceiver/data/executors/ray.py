"""Workers as Ray tasks: the same function, on as many machines as the cluster has.

Paths go in and rows come out; frames never enter the object store. Ray starts a task again where its worker or its machine died. At most two chunks a worker
are submitted ahead of what is consumed. Media, run folder and this package must be reachable under the same paths on every machine.
"""

import json
import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import lru_cache
from typing import Any

from videoperceiver.data.executors import MakeWorker, Row, Worker
from videoperceiver.data.executors.naming import name_of, named, raised, told
from videoperceiver.errors import VideoPerceiverError
from videoperceiver.scoring.extras import require

logger = logging.getLogger(__name__)
_RETRIES = 3
_AHEAD = 2
_STORE_BYTES = 100 * 2**20


def run_on_ray(
    make_worker: MakeWorker, settings: str, chunks: Iterable[list[Row]], *, died: Callable[[Row, str], dict[str, Any]], num_workers: int
) -> Generator[dict[str, Any], None, None]:
    """As `run_tasks`, on the cluster that RAY_ADDRESS names, or on one of this machine alone that lasts as long as the run."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = require("ray", extra="ray", purpose="executor: ray")
    begun_here = not ray.is_initialized()
    if begun_here:
        own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": num_workers, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **own)
    task = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=False)(_answer)
    where = json.dumps([name_of(make_worker), settings, os.getcwd()])
    pending: deque[tuple[list[Row], Any]] = deque()

    def outcomes() -> list[dict[str, Any]]:
        rows, reference = pending.popleft()
        try:
            said = json.loads(ray.get(reference))
        except ray.exceptions.WorkerCrashedError as error:
            if len(rows) == 1:
                return [died(rows[0], str(error).strip().partition("\n")[0])]
            pending.extendleft((row, task.remote(where, json.dumps(row))) for row in reversed([[row] for row in rows]))
            return []
        except ray.exceptions.RayError as error:
            raise VideoPerceiverError(f"Ray could not run a chunk of {len(rows)} clips: {error}") from error
        if "error" in said:
            raise raised(said["error"])
        return said["outcomes"]

    try:
        for rows in chunks:
            pending.append((rows, task.remote(where, json.dumps(rows))))
            while len(pending) > _AHEAD * num_workers:
                yield from outcomes()
        while pending:
            yield from outcomes()
    finally:
        for _, reference in pending:
            ray.cancel(reference, force=True)
        if begun_here:
            ray.shutdown()


def _answer(where: str, rows: str) -> str:
    """In a worker of Ray: a chunk's outcomes. The worker it is made with stays for the next chunk."""
    try:
        return json.dumps({"outcomes": _worker(where).answer(json.loads(rows))})
    except Exception as error:
        logger.exception("a worker of stage 0 failed")
        return json.dumps({"error": told(error)})


@lru_cache(maxsize=1)
def _worker(where: str) -> Worker:
    make_worker, settings, folder = json.loads(where)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(folder)
    return named(make_worker)(settings)
