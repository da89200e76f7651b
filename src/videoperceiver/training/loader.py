"""Clips of the coming steps, decoded in other processes while this one computes."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import SampleError
from videoperceiver.models.backbone import Backbone
from videoperceiver.stages import RuntimeConfig
from videoperceiver.types import Clip, Sample
from videoperceiver.video.pool import DecodePool

Found = Clip | SampleError


def open_store(manifests: Sequence[str | Path], backbone: Backbone, runtime: RuntimeConfig, *, split: str) -> ClipStore:
    """The clips of a split at the backbone's size, kept where the run says."""
    return ClipStore(manifests, backbone.adapter.fit, split=split, folder=runtime.clip_cache, fit_key=backbone.processor.video_processor.to_json_string())


class ClipLoader:
    """A step's samples with their clips, or the reason why there is none, in the order the step wants them.

    What comes out does not depend on the number of workers: the same pixels in the same order. A file that hangs or crashes the decoder costs its sample
    and a worker, which is replaced. Leaving the block ends all workers.

    Args:
        store: of the clips; what it still holds is not decoded again.
        order: step -> its samples.
        first: the first step.
        last: the step after the last.
        settings: workers, how far ahead, deadline and memory of a clip.
    """

    def __init__(self, store: ClipStore, order: Callable[[int], Sequence[Sample]], *, first: int, last: int, settings: RuntimeConfig):
        self._store, self._order, self._settings = store, order, settings
        self.wait_s = 0.0
        self._coming = self._upcoming(first, last)
        self._ahead: deque[tuple[Sample, Future[Found]]] = deque()
        self._pool = DecodePool(settings.num_workers, settings.deadline_s, settings.memory_mb) if settings.num_workers else None
        self._threads = ThreadPoolExecutor(2 * settings.num_workers, thread_name_prefix="clips") if settings.num_workers else None

    def clips(self, step: int) -> Iterator[tuple[Sample, Found]]:
        """The step's samples one by one; steps must be asked for in order. `wait_s` grows by the time spent waiting for them."""
        for sample in self._order(step):
            began = time.perf_counter()
            found = self._here(sample) if self._threads is None else self._next(sample)
            self.wait_s += time.perf_counter() - began
            yield sample, found

    def _here(self, sample: Sample) -> Found:
        try:
            return self._store.clip(sample)
        except SampleError as error:
            return type(error)(error.reason, path=error.path, sample_id=sample.id)

    def _next(self, sample: Sample) -> Found:
        self._fill()
        expected, future = self._ahead.popleft()
        assert expected is sample, f"sample {sample.id!r} asked for out of order, {expected.id!r} comes next"
        found = future.result()
        if isinstance(found, Clip):
            self._store.keep(sample, found)
        return found

    def _fill(self) -> None:
        """Keeps so many clips in the making or ready."""
        assert self._threads is not None
        while len(self._ahead) < max(1, self._settings.prefetch) and (sample := next(self._coming, None)) is not None:
            held = self._store.held(sample)
            self._ahead.append((sample, self._threads.submit(self._decode, sample, held)))

    def _decode(self, sample: Sample, held: Clip | None) -> Found:
        if (ready := self._store.stored(sample) if held is None else held) is not None:
            return ready
        assert self._pool is not None
        found = self._pool.submit(self._store.request(sample)).result()
        return self._store.fitted(sample, found) if isinstance(found, Clip) else found

    def _upcoming(self, first: int, last: int) -> Iterator[Sample]:
        for step in range(first, last):
            yield from self._order(step)

    def close(self) -> None:
        """Ends the workers; nothing is waited for."""
        if self._pool is not None and self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._pool.close()
            self._threads.shutdown(wait=True)

    def __enter__(self) -> "ClipLoader":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
