"""The processes of a run: who they are, what they tell each other, and how the death of one becomes a message of the others.

Started by torchrun, each process is a rank; started plainly, there is one rank and nothing of torch.distributed is touched. What ranks tell each other is
numbers and JSON, never pickles.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from videoperceiver.errors import RunError, VideoPerceiverError
from videoperceiver.runs import Run
from videoperceiver.training.watch import Watch

logger = logging.getLogger(__name__)
T = TypeVar("T")

SILENCE_S = 30.0
"""A rank without a sign of life for so long counts as dead."""


@dataclass(frozen=True)
class World:
    """One rank's view of all.

    Attributes:
        rank: 0 speaks and writes.
        size: ranks.
        device: where this rank computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def speaks(self) -> bool:
        """Whether this rank logs, writes and shows progress."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This rank's contiguous part, as large as the others' or one larger: rows gathered by rank are then in the order of the whole."""
        size, more = divmod(len(items), self.size)
        first = self.rank * size + min(self.rank, more)
        return items[first : first + size + (self.rank < more)]

    def sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over the ranks; all must name the same, in one order."""
        if self.size == 1:
            return dict(values)
        total = torch.tensor([float(value) for value in values.values()], dtype=torch.float64)
        dist.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    def gather(self, value: Any) -> list[Any]:
        """A JSON value of every rank, by rank."""
        if self.size == 1:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(text)]))
        room = max(int(length) for length in lengths)
        padded = torch.nn.functional.pad(text, (0, room - len(text)))
        texts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(texts, padded)
        return [json.loads(bytes(found[: int(length)].tolist())) for found, length in zip(texts, lengths, strict=True)]

    def barrier(self) -> None:
        """Waits for all ranks."""
        self.gather(None)

    def open_run(self, config: Any, *, stage: str, data: Sequence[str | Path]) -> Run:
        """The run's folder: rank 0 creates or continues it, the others hold a run that writes nothing."""
        if self.speaks:
            run = Run.open_or_create(config.output, config, stage=stage, data=data)
            self.barrier()
            return run
        self.barrier()
        return Run.open(config.output).silent()


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Joins the ranks that torchrun started (RANK, WORLD_SIZE, MASTER_ADDR, ..), or stands alone where there are none.

    Leaving it with an error tells the other ranks what happened; a rank that dies without a word is named by the others.

    Raises:
        RunError: another rank stopped; names it.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        with _memory_in_words():
            yield World(device=_device(0))
        return
    rank, device = int(os.environ["RANK"]), _device(int(os.environ.get("LOCAL_RANK", "0")))
    store, _, _ = next(iter(rendezvous("env://", rank, size)))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", store=dist.PrefixStore("group", store), rank=rank, world_size=size)
    watch = Watch(dist.PrefixStore("watch", store), rank, size, SILENCE_S)
    world = World(rank, size, device)
    world.barrier()  # every rank has said that it lives before any is watched
    watch.start()
    try:
        with _memory_in_words():
            yield world
        world.barrier()
        watch.leave("")
    except BaseException as error:
        if _is_collective(error) and (verdict := watch.verdict(SILENCE_S + 10)):
            watch.leave(verdict)
            raise RunError(verdict) from error
        watch.leave(str(error) if isinstance(error, VideoPerceiverError) else f"{type(error).__name__}: {error}")
        raise
    finally:
        if device.type == "cpu" or not sys.exc_info()[0]:  # after an error NCCL would wait for collectives that never end; the process ends anyway
            dist.destroy_process_group()


@contextmanager
def _memory_in_words() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the GPU's memory is full ({str(error).splitlines()[0]}). Lower runtime.micro_tokens (a step's tokens are in metrics.jsonl), switch "
            "model.gradient_checkpointing on, train with model.lora_rank, or spread the run over more GPUs; `videoperceiver plan` says what takes how much. "
            "The same command then continues this run where only runtime.* differs"
        ) from error


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def _is_collective(error: BaseException) -> bool:
    """Whether an error is that of a collective whose other side is gone (gloo raises plain RuntimeErrors)."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
