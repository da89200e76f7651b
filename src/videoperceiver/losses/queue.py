"""A first-in first-out memory of past representations, for batches too small to hold enough negatives."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from videoperceiver.losses.contrastive import NO_KEYWORDS, Negatives


class NegativeQueue:
    """The last `size` rows seen, detached; goes into the checkpoint so that a resumed run continues bit for bit.

    Args:
        size: rows kept, at least 1.
    """

    def __init__(self, size: int):
        if size < 1:
            raise ValueError(f"queue size is {size}, expected at least 1; leave the queue out to train without one")
        self.size = size
        self._rows: dict[str, Tensor] | None = None

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows["ids"])

    @torch.no_grad()
    def push(self, h_v: Tensor, h_degraded: Tensor, h_text: Tensor, *, has_degraded: Tensor, has_text: Tensor, ids: Tensor | None = None) -> None:
        """Append a batch, oldest rows out first. Call it after the loss, or a row meets itself as a negative.

        Args:
            h_v: (B, D).
            h_degraded: (B, D).
            h_text: (B, D).
            has_degraded: (B,) bool.
            has_text: (B,) bool.
            ids: (B,) keyword ids; None: rows that mask nothing.
        """
        ids = torch.full((len(h_v),), NO_KEYWORDS, dtype=torch.int64, device=h_v.device) if ids is None else ids
        new = {"video": h_v.float(), "degraded": h_degraded.float(), "text": h_text.float(), "has_degraded": has_degraded, "has_text": has_text, "ids": ids}
        old = self._rows or {name: rows[:0] for name, rows in new.items()}
        self._rows = {name: torch.cat([old[name].to(rows.device), rows.detach()])[-self.size :] for name, rows in new.items()}

    def negatives(self, device: torch.device | str | None = None) -> Negatives | None:
        """What `contrastive_losses` takes, on that device; None while the queue is empty."""
        if self._rows is None:
            return None
        rows = {name: kept.to(device) for name, kept in self._rows.items()}
        has_text = rows["has_text"]
        return Negatives(rows["video"], rows["degraded"][rows["has_degraded"]], rows["text"][has_text], rows["ids"], rows["ids"][has_text])

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors only; empty while nothing was pushed."""
        return dict(self._rows or {})

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a saved queue; more rows than `size` are cut to the newest."""
        self._rows = {name: rows[-self.size :] for name, rows in state.items()} if state else None


class Queues:
    """A queue for each tapped block; without any where `size` is 0, so that callers need not ask.

    Args:
        size: rows kept a block; 0 = none.
        blocks: the tapped blocks.
    """

    def __init__(self, size: int, blocks: Sequence[int]):
        self._queues = {block: NegativeQueue(size) for block in blocks} if size else {}

    def __getitem__(self, block: int) -> NegativeQueue | None:
        return self._queues.get(block)

    def state_dict(self) -> dict[str, Tensor]:
        """Flat names and tensors on the CPU, for a safetensors file; empty while nothing was pushed."""
        return {f"{block}.{name}": rows.cpu().contiguous() for block, queue in self._queues.items() for name, rows in queue.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what was saved for these blocks."""
        for block, queue in self._queues.items():
            head = f"{block}."
            queue.load_state_dict({name.removeprefix(head): rows for name, rows in state.items() if name.startswith(head)})
