"""Convolutions in whole numbers of 8 bits, as operators of ONNX: about half the processor time of float32, and exact whatever the order of sums.

A value is stored as bytes that stand for scale * (byte - zero); kernels have a scale for each channel, sums are exact in 32 bits
(https://arxiv.org/abs/1712.05877, section 2). No pictures are needed to set the scales: a batch norm says how its output is spread
(https://arxiv.org/abs/1906.04721, section 4.2.1).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from videoperceiver.scoring.extras import require
from videoperceiver.scoring.onnx_graph import Graph

_BYTE, _KERNEL = 255, 127
_SPREAD = 6
"""Standard deviations of the widest channel that a range covers; what lies beyond is cut off."""
_LARGEST_BIAS = 2.0**30
"""In steps of its scale: a bias is a whole number of 32 bits, which sums are added to."""


class Scale(NamedTuple):
    """What bytes stand for: `step` * (byte - `zero`)."""

    step: float
    zero: int


RELU6 = Scale(6 / _BYTE, 0)
"""Of values from 0 to 6: what is stored so has been through ReLU6."""


class Stored(NamedTuple):
    """A value of the graph, in bytes."""

    name: str
    scale: Scale


class Int8Graph(Graph):
    """A model of convolutions, being written."""

    def store(self, value: str, scale: Scale) -> Stored:
        """A float value as bytes."""
        return Stored(self.node("QuantizeLinear", [value, *self._scale(scale)]), scale)

    def read(self, stored: Stored, output: str = "") -> str:
        """Bytes as a float value."""
        return self.node("DequantizeLinear", [stored.name, *self._scale(stored.scale)], output)

    def add(self, one: Stored, other: Stored) -> Stored:
        """Their sum; its range is the sum of theirs."""
        lows, highs = zip(*(_ends(part.scale) for part in (one, other)), strict=True)
        return self.store(self.node("Add", [self.read(one), self.read(other)]), _scale(sum(lows), sum(highs)))

    def conv(self, given: Stored, kernel: np.ndarray, bias: np.ndarray, scale: Scale, **shape: Sequence[int] | int) -> Stored:
        """Convolution by a float kernel (out, in, h, w) and bias (out,), stored as `scale`; strides, pads and group as ONNX has them."""
        steps = np.abs(kernel).max((1, 2, 3)) / _KERNEL
        steps = np.maximum(steps, np.maximum(np.abs(bias) / given.scale.step / _LARGEST_BIAS, np.finfo(np.float32).tiny)).astype(np.float32)
        whole = np.round(kernel / steps[:, None, None, None]).astype(np.int8)
        sums = np.round(bias / (given.scale.step * steps)).astype(np.int32)
        weights = [self.constant(part) for part in (whole, steps, np.zeros(len(steps), np.int8))]
        inputs = [given.name, *self._scale(given.scale), *weights, *self._scale(scale), self.constant(sums)]
        return Stored(self.node("QLinearConv", inputs, "", **shape), scale)

    def _scale(self, scale: Scale) -> list[str]:
        return [self.constant(np.float32(scale.step)), self.constant(np.uint8(scale.zero))]


def session(model: bytes, num_threads: int) -> Any:
    """The model in onnxruntime, its sums exact."""
    return _session(model, num_threads, exact=not _sums_exactly())


def _session(model: bytes, num_threads: int, *, exact: bool) -> Any:
    onnxruntime = require("onnxruntime", extra="text", purpose="the embedded frame relevance")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@cache
def _sums_exactly() -> bool:
    """Whether onnxruntime's fast way sums exactly here: others than those with VNNI overflow at 16 bits. The exact way is slower."""
    graph, size = Int8Graph(), 64
    largest = graph.conv(graph.store("x", Scale(1.0, 0)), np.full((size, size, 1, 1), 127.0), np.zeros(size), Scale(size * 127.0, 0))
    graph.read(largest, "y")
    run = _session(graph.model([("x", [1, size, 8, 8])], [("y", [1, size, 8, 8])]), 1, exact=False)
    (sums,) = run.run(["y"], {"x": np.full((1, size, 8, 8), _BYTE, np.float32)})
    return bool((sums == size * 127.0 * _BYTE).all())


def scale_after(norm: Any) -> Scale:
    """Of what a batch norm gives out, whose mean is its bias and whose standard deviation is its weight."""
    mean, spread = (part.detach().numpy() for part in (norm.bias, norm.weight.abs()))
    return _scale((mean - _SPREAD * spread).min(), (mean + _SPREAD * spread).max())


def _scale(low: float, high: float) -> Scale:
    """Bytes from `low` to `high`, 0 among them exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / _BYTE
    return Scale(float(step), round(-low / step))


def _ends(scale: Scale) -> tuple[float, float]:
    return -scale.zero * scale.step, (_BYTE - scale.zero) * scale.step
