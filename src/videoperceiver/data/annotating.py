"""The step of the build in which captions and questions are written: clips through an annotator, in order, with their frames where it looks at them."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from videoperceiver.data.annotate import Annotator
from videoperceiver.data.outcomes import Task, error_row
from videoperceiver.errors import SampleError
from videoperceiver.stages import DataConfig
from videoperceiver.types import Clip, Sample
from videoperceiver.video.pool import DecodePool, ReadRequest

Item = tuple[Sample, Clip | None]


def annotated(tasks: Iterable[Task], annotator: Annotator, config: DataConfig) -> Generator[Task, None, None]:
    """The tasks with what was written of them, in order; one whose clip could not be read or described carries the reason."""
    waiting: deque[Task] = deque()  # handed to the annotator, or found bad, and not yet given out

    def asked(read: Iterable[tuple[Task, Clip | SampleError | None]]) -> Iterator[Item]:
        for task, clip in read:
            waiting.append(replace(task, error=error_row(clip, task)) if isinstance(clip, SampleError) else task)
            if not isinstance(clip, SampleError):
                yield task.sample, clip

    def passed_over() -> Iterator[Task]:
        while waiting and waiting[0].error is not None:
            yield waiting.popleft()

    if not annotator.needs_frames:
        answers = annotator.annotate(asked((task, None) for task in tasks))
    else:
        answers = annotator.annotate(asked(_with_frames(tasks, config)))
    for answer in answers:
        yield from passed_over()
        task = waiting.popleft()
        yield replace(task, error=error_row(answer, task)) if isinstance(answer, SampleError) else replace(task, sample=answer)
    yield from passed_over()


def _with_frames(tasks: Iterable[Task], config: DataConfig) -> Iterator[tuple[Task, Clip | SampleError]]:
    """Each task with the frames that a model is shown, decoded a few clips ahead in processes that can be killed."""
    runtime, shown = config.runtime, {"num_frames": config.annotate.num_frames, "size_px": config.annotate.frame_px}
    pending: deque[tuple[Task, Future[Clip | SampleError]]] = deque()
    with DecodePool(runtime.num_workers, runtime.deadline_s, runtime.memory_mb) as pool, ThreadPoolExecutor(runtime.num_workers) as threads:

        def read(task: Task) -> Clip | SampleError:
            try:
                task.media.make(pool, task.sample.id)
                return pool.ask(ReadRequest(task.media.path, {**shown, "frame_fps": task.sample.frame_fps}, task.sample.id))[0]
            except SampleError as error:
                return error

        for task in tasks:
            pending.append((task, threads.submit(read, task)))
            if len(pending) > 2 * runtime.num_workers:
                done, future = pending.popleft()
                yield done, future.result()
        for done, future in pending:
            yield done, future.result()
