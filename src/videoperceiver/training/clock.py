"""Where a step's time goes: seconds by phase, each second counted once."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class Clock:
    """Seconds of each phase; a phase inside another takes its time from it.

    Args:
        device: is waited for at the edges of a phase, where it computes on its own.
        vision: modules whose forward passes are the phase "vision", wherever they run.
    """

    def __init__(self, device: torch.device | None = None, vision: Sequence[nn.Module] = ()):
        self._cuda = device is not None and device.type == "cuda"
        self._spent: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.perf_counter()
        for module in vision:
            module.register_forward_pre_hook(lambda *_: self._begin("vision"))
            module.register_forward_hook(lambda *_: self._end(), always_call=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts what happens inside to `name`."""
        self._begin(name)
        try:
            yield
        finally:
            self._end()

    def timed(self, name: str, function: Callable[..., T]) -> Callable[..., T]:
        """The function, each call of it a phase."""

        def call(*args: Any, **kwargs: Any) -> T:
            with self.phase(name):
                return function(*args, **kwargs)

        return call

    def take(self) -> dict[str, float]:
        """Seconds of each phase since they were last taken."""
        spent, self._spent = self._spent, {}
        return spent

    def _begin(self, name: str) -> None:
        self._mark()
        self._open.append(name)

    def _end(self) -> None:
        self._mark()
        self._open.pop()

    def _mark(self) -> None:
        if self._cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self._spent[self._open[-1]] = self._spent.get(self._open[-1], 0.0) + now - self._since
        self._since = now
