"""Where the clips of stage 0 are prepared: in this process, in processes of this machine, or by Ray Data on a cluster. Rows do not depend on which.

A worker is made from a function and a text, both of which can be named to another process: nothing is pickled. Tasks and outcomes are JSON values; no frame
leaves the worker that decoded it.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Protocol

Row = Mapping[str, Any]


class Worker(Protocol):
    """Answers chunks of tasks."""

    def answer(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """An outcome for each task, in order; never raises for a bad sample."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


MakeWorker = Callable[[str], Worker]
"""A function at the top of a module: settings -> a worker."""


def run_tasks(
    executor: Literal["local", "ray"],
    make_worker: MakeWorker,
    settings: str,
    tasks: Iterable[Row],
    *,
    died: Callable[[Row, str], dict[str, Any]],
    num_workers: int = 1,
    chunk: int = 8,
) -> Generator[dict[str, Any], None, None]:
    """Outcomes in the order of the tasks, which are drawn only a few chunks ahead of what is consumed, by Ray at most two windows of them.

    Close it to end the workers early. A worker that dies is replaced and its chunk done again; a task that kills worker after worker on its own is answered by
    `died`.

    Args:
        executor: "local" (processes of this machine; one worker is this process itself) or "ray".
        make_worker: makes the worker of a process.
        settings: what it is made from.
        tasks: JSON values.
        died: the outcome of a task that kills its worker, and how the worker ended.
        num_workers: how many work at a time.
        chunk: tasks that a worker is given at once.

    Raises:
        VideoPerceiverError: as the worker raised it; or workers that cannot be started.
        MissingExtraError: Ray is not installed.
    """
    chunks = _chunks(tasks, chunk)
    if executor == "ray":
        from videoperceiver.data.executors.ray import run_on_ray

        return run_on_ray(make_worker, settings, chunks, died=died, num_workers=num_workers)
    if num_workers == 1:
        return _run_here(make_worker, settings, chunks)
    from videoperceiver.data.executors.local import run_in_processes

    return run_in_processes(make_worker, settings, chunks, died=died, num_workers=num_workers)


def _run_here(make_worker: MakeWorker, settings: str, chunks: Iterable[list[Row]]) -> Generator[dict[str, Any], None, None]:
    worker = None
    try:
        for rows in chunks:
            worker = worker or make_worker(settings)
            yield from worker.answer(rows)
    finally:
        if worker is not None:
            worker.close()


def _chunks(tasks: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(tasks)
    while rows := list(islice(iterator, size)):
        yield rows
