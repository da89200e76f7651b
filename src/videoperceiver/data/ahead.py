"""Work done before it is asked for."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
AHEAD = 4


def ahead(items: Iterable[_Item], size: int = AHEAD) -> Generator[_Item, None, None]:
    """The items of an iterable, produced in one thread up to `size` ahead of their use; what it raises is raised here."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        pending = deque(thread.submit(next, iterator, end) for _ in range(size))
        try:
            while (item := pending.popleft().result()) is not end:
                pending.append(thread.submit(next, iterator, end))
                yield item  # type: ignore[misc]
        finally:
            for future in pending:
                future.cancel()
