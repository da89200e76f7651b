"""A first-in first-out memory of past representations, for batches too small to hold enough negatives."""

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

    def negatives(self) -> Negatives | None:
        """What `contrastive_losses` takes; None while the queue is empty."""
        if self._rows is None:
            return None
        rows = self._rows
        has_text = rows["has_text"]
        return Negatives(rows["video"], rows["degraded"][rows["has_degraded"]], rows["text"][has_text], rows["ids"], rows["ids"][has_text])

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors only; empty while nothing was pushed."""
        return dict(self._rows or {})

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a saved queue; more rows than `size` are cut to the newest."""
        self._rows = {name: rows[-self.size :] for name, rows in state.items()} if state else None
