"""Writes small ONNX models, so that onnxruntime can run a network whose weights come in another form: protocol buffers by hand, a field at a time.

Of the format (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) only what convolutional networks need; what goes in and comes out is float32.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np

_IR_VERSION, _OPSET = 8, 17
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}
_FLOAT = _TYPES["float32"]
_INTS = 7


class Graph:
    """A model being written, node by node; names of values are what nodes are connected by."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []
        self._num = 0

    def constant(self, values: np.ndarray | np.generic) -> str:
        """Weights or a single number, of float32, int32 or 8 bits; returns their name."""
        name = self._name("w")
        array = np.asarray(values, order="C")
        dims = b"".join(_field(1, size) for size in array.shape)
        self._weights.append(dims + _field(2, _TYPES[array.dtype.name]) + _field(8, name.encode()) + _field(9, array.tobytes()))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **ints: Sequence[int] | int) -> str:
        """An operator of ONNX with whole-number attributes; returns the name of what it gives."""
        output = output or self._name("v")
        parts = [_field(1, name.encode()) for name in inputs] + [_field(2, output.encode()), _field(4, operator.encode())]
        for name, value in ints.items():
            values = [value] if isinstance(value, int) else value
            typed = _field(3, value) + _field(20, 2) if isinstance(value, int) else b"".join(_field(8, i) for i in values) + _field(20, _INTS)
            parts.append(_field(5, _field(1, name.encode()) + typed))
        self._nodes.append(b"".join(parts))
        return output

    def model(self, inputs: Iterable[tuple[str, Sequence[int | str]]], outputs: Iterable[tuple[str, Sequence[int | str]]]) -> bytes:
        """The finished model.

        Args:
            inputs: names and shapes; a size given as text is any.
            outputs: names and shapes of what comes out.
        """
        graph = [_field(1, node) for node in self._nodes] + [_field(2, b"graph")] + [_field(5, weight) for weight in self._weights]
        graph += [_field(11, _value(*given)) for given in inputs] + [_field(12, _value(*made)) for made in outputs]
        return _field(1, _IR_VERSION) + _field(7, b"".join(graph)) + _field(8, _field(1, b"") + _field(2, _OPSET))

    def _name(self, kind: str) -> str:
        self._num += 1
        return f"{kind}{self._num}"


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(1, size) if isinstance(size, int) else _field(2, size.encode())) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, _FLOAT) + _field(2, dims)))


def _field(number: int, value: int | bytes | float) -> bytes:
    """One field: a varint, four bytes of a float, or a length and bytes."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
