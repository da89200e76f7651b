"""Workers on Ray Data: the same function, on as many machines as the cluster has.

The stream of chunks has no known length, a data set of Ray has: so it is cut into windows, each a data set with a few chunks a block, mapped in order. The next
window is drawn and put into the object store while one is worked on, and no more: what is drawn ahead, and what is done before its turn, is two windows at
most. Paths go in and rows come out; frames never enter the object store. Ray does a block again where its worker or its machine died; one that it gave up is
done again clip by clip. Media, run folder and this package must be reachable under the same paths on every machine.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from itertools import chain, islice
from types import ModuleType
from typing import Any

from videoperceiver.data.ahead import ahead
from videoperceiver.data.executors import MakeWorker, Row, Worker
from videoperceiver.data.executors.naming import name_of, named, raised, told
from videoperceiver.errors import VideoPerceiverError
from videoperceiver.scoring.extras import require

logger = logging.getLogger(__name__)
_WINDOW = 64
"""Chunks a worker in a window: at its end some workers wait for the others."""
_BLOCK = 4
"""Chunks a task, in windows that have enough of them: a worker waits 10 to 25 ms between two tasks, and Ray's own processes work for each."""
_UNDER_WAY = 2
"""Tasks a worker: one waits in Ray's own queue, as Ray Data looks for ended ones only ten times a second."""
_RETRIES = 3
_STORE_BYTES = 100 * 2**20
_Chunk = list[Row]
_Block = list[_Chunk]
_Window = tuple[list[_Block], Any]


def run_on_ray(
    make_worker: MakeWorker, settings: str, chunks: Iterable[_Chunk], *, died: Callable[[Row, str], dict[str, Any]], num_workers: int
) -> Generator[dict[str, Any], None, None]:
    """As `run_tasks`, on the cluster that RAY_ADDRESS names, or on one of this machine alone that lasts as long as the run."""
    ray, begun_here = _connected(num_workers)
    where = json.dumps([name_of(make_worker), settings, os.getcwd()])

    def prepared() -> Iterator[_Window]:
        iterator = iter(chunks)
        while chunks_in := list(islice(iterator, _WINDOW * num_workers)):
            window = _blocks(chunks_in, num_workers)
            yield window, _mapped(ray, where, window, num_workers, strict=False)

    try:
        with closing(ahead(prepared(), 1)) as windows:
            for window, mapped in windows:
                yield from _in_order(window, mapped, lambda row: _alone(ray, where, row, died))
    finally:
        if begun_here:
            ray.shutdown()


def _blocks(chunks: list[_Chunk], num_workers: int) -> list[_Block]:
    """Chunks by the task: as many as `_BLOCK`, fewer where workers would otherwise have less than four tasks each."""
    size = max(1, min(_BLOCK, len(chunks) // (4 * num_workers)))
    return [chunks[i : i + size] for i in range(0, len(chunks), size)]


def _connected(num_workers: int) -> tuple[ModuleType, bool]:
    """Ray, and whether it was started here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = require("ray", extra="ray", purpose="executor: ray")
    require("ray.data", extra="ray", purpose="executor: ray")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # a line for every window, and for a death a traceback of what is answered here
    warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")  # that is max_retries; Ray names no successor
    begun_here = not ray.is_initialized()
    if begun_here:
        own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": num_workers, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **own)
    return ray, begun_here


def _mapped(ray: Any, where: str, window: list[_Block], num_workers: int, *, strict: bool) -> Any:
    """The answers to a window as a data set that is worked on when it is read. Where not strict, blocks that ended their workers are missing from it."""
    rows = [{"place": place, "chunks": json.dumps(block)} for place, block in enumerate(window)]
    blocks = ray.data.from_items(rows, override_num_blocks=len(rows))
    context = blocks.context  # a copy, of this data set alone
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # the stage has its own
    context.max_errored_blocks = 0 if strict else -1
    context.op_resource_reservation_enabled = False  # would submit no more tasks than there are processors, and leave these idle between tasks
    tasks = ray.data.TaskPoolStrategy(size=min(_UNDER_WAY * num_workers, len(rows)))
    return blocks.map(_answer, fn_kwargs={"where": where}, compute=tasks, num_cpus=1, max_retries=_RETRIES)


def _answers(mapped: Any) -> Generator[tuple[int, list[dict[str, Any]]], None, None]:
    """Places and answers, in order, as they are there. Closing it ends the tasks."""
    with closing(iter(mapped.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))) as blocks:
        for block in blocks:
            for row in block.to_pylist():
                answer = json.loads(row["answer"])
                if "error" in answer:
                    raise raised(answer["error"])
                yield row["place"], answer["outcomes"]


def _in_order(window: list[_Block], mapped: Any, alone: Callable[[Row], dict[str, Any]]) -> Generator[dict[str, Any], None, None]:
    """Outcomes of a window; clips of blocks that Ray gave up are done `alone`, in their turn."""
    done = 0
    with closing(_answers(mapped)) as answers:
        for place, outcomes in answers:
            yield from _again(window[done:place], alone)
            yield from outcomes
            done = place + 1
    yield from _again(window[done:], alone)


def _again(blocks: list[_Block], alone: Callable[[Row], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for rows in (list(chain.from_iterable(block)) for block in blocks):
        logger.warning("workers of stage 0 died over the same %d clips %d times; each is done again alone", len(rows), _RETRIES + 1)
        yield from map(alone, rows)


def _alone(ray: Any, where: str, row: Row, died: Callable[[Row, str], dict[str, Any]]) -> dict[str, Any]:
    try:
        with closing(_answers(_mapped(ray, where, [[[row]]], 1, strict=True))) as answers:
            return next(answers)[1][0]
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        return died(row, str(error).strip().partition("\n")[0])
    except ray.exceptions.RayError as error:
        raise VideoPerceiverError(f"Ray could not prepare a clip: {error}") from error


def _answer(row: dict[str, Any], where: str) -> dict[str, Any]:
    """In a worker of Ray: a block's outcomes. The worker it is made with stays for the next block."""
    try:
        answer = {"outcomes": [outcome for chunk in json.loads(row["chunks"]) for outcome in _worker(where).answer(chunk)]}
    except Exception as error:
        logger.exception("a worker of stage 0 failed")
        answer = {"error": told(error)}
    return {"place": row["place"], "answer": json.dumps(answer)}


@lru_cache(maxsize=1)
def _worker(where: str) -> Worker:
    make_worker, settings, folder = json.loads(where)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.chdir(folder)
    return named(make_worker)(settings)
