"""Counts every tensor that lives, by what it is for, while code runs: on the meta device as on a real one."""

import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WEIGHTS, ACTIVATIONS, LOGITS, GRADIENTS = "weights", "activations", "logits", "gradients"


class LiveMemory(TorchDispatchMode):
    """Bytes of the tensors made inside the block that still live, and the most there ever were at once.

        with LiveMemory() as live:
            live.watch(model); model(batch).backward()
        print(live.peak, live.at_peak)

    A tensor counts from the operation that made its storage until Python and autograd have let go of it. Rounding and fragmentation of
    an allocator are not in it, nor is what a kernel takes for the length of one call.

    Args:
        gradient_share: of a parameter's gradient that stays on this device once it is complete (1 / N under FSDP2 over N).

    Attributes:
        now: bytes alive.
        peak: the most so far.
        at_peak: bytes alive at that moment, by kind.
    """

    def __init__(self, gradient_share: float = 1.0):
        super().__init__()
        self.gradient_share = gradient_share
        self.now = self.peak = 0.0
        self.kind = ACTIVATIONS
        self.by_kind: dict[str, float] = defaultdict(float)
        self.at_peak: dict[str, float] = {}
        self._known: weakref.WeakKeyDictionary[Any, list[Any]] = weakref.WeakKeyDictionary()
        self._hooks: list[Any] = []

    @contextmanager
    def counting(self, kind: str) -> Iterator[None]:
        """What is made inside is of this kind; the forward's tensors alone, the backward makes its own later."""
        before, self.kind = self.kind, kind
        try:
            yield
        finally:
            self.kind = before

    def watch(self, module: nn.Module) -> None:
        """Leave the module's weights out, and count their gradients as gradients from the moment each is complete."""
        for tensor in (*module.parameters(), *module.buffers()):
            self._known[tensor.untyped_storage()] = [WEIGHTS, 0.0]
            if tensor.requires_grad:
                self._hooks.append(tensor.register_post_accumulate_grad_hook(self._complete))

    def hold_gradients(self, module: nn.Module) -> None:
        """Gradients that lie there already, as after the first of several accumulated batches."""
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)
                storage = parameter.grad.untyped_storage()
                self._known[storage] = [GRADIENTS, storage.nbytes() * self.gradient_share]
                self._add(*self._known[storage])

    def __exit__(self, *args: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*args)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: Any) -> None:
        if storage in self._known:
            return
        entry = [self.kind, float(storage.nbytes())]  # changed in place when it turns out to be a gradient
        self._known[storage] = entry
        self._add(*entry)
        weakref.finalize(storage, self._free, entry).atexit = False

    def _complete(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        entry = self._known.get(parameter.grad.untyped_storage())
        if entry is None or entry[0] == GRADIENTS:
            return
        self._add(entry[0], -entry[1])
        entry[:] = [GRADIENTS, entry[1] * self.gradient_share]
        self._add(*entry)

    def _free(self, entry: list[Any]) -> None:
        self._add(entry[0], -entry[1])

    def _add(self, kind: str, size: float) -> None:
        self.by_kind[kind] += size
        self.now += size
        if self.now > self.peak:
            self.peak, self.at_peak = self.now, dict(self.by_kind)


class Counted(torch.autograd.Function):
    """Attention as flash kernels leave it in memory: query, key, value, result and log-sum-exp are kept; no number is computed.

    Query (R, heads, W, d), key and value (R, kv_heads, W, d) -> (R, heads, W, d), on the meta device.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        lse = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, out, lse)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
