"""The packaged network in onnxruntime: what torch computes, whatever the batch and the number of threads."""

import numpy as np
import pytest

from videoperceiver.scoring import efficientnet
from videoperceiver.scoring.onnx_graph import Graph


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """(5, 192, 192, 3) uint8: blocks of colour."""
    blocks = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    return blocks.repeat(16, 1).repeat(16, 2)


def test_it_equals_the_network_in_torch(pixels):
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    network = efficientnet._network()
    with torch.inference_mode():
        given = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
        hidden = network._swish(network._bn0(network._conv_stem(given)))
        for block in network._blocks:
            hidden = block(hidden)
        expected_local = adaptive_avg_pool2d(hidden, 3).flatten(2).transpose(1, 2)
        head = network._swish(network._bn1(network._conv_head(hidden)))
        expected_tags = network._fc(adaptive_avg_pool2d(head, 1).flatten(1))
    local, tags = efficientnet.EfficientNetLite()(pixels)
    np.testing.assert_allclose(local, expected_local.numpy(), atol=1e-4)
    np.testing.assert_allclose(tags, expected_tags.numpy(), atol=1e-4)
    assert np.ptp(tags) > 1  # it does see something


def test_a_picture_looks_the_same_in_any_batch_and_with_any_number_of_threads(pixels):
    together = efficientnet.EfficientNetLite(2)(pixels)
    look = efficientnet.EfficientNetLite(1)
    for local, tags in (together, look(pixels)):
        for i in range(len(pixels)):
            alone = look(pixels[i : i + 1])
            np.testing.assert_array_equal(alone[0][0], local[i])
            np.testing.assert_array_equal(alone[1][0], tags[i])


def test_a_graph_written_by_hand_runs():
    import onnxruntime

    graph = Graph()
    graph.node("Gemm", ["x", graph.weight(np.array([[2.0, 0.0], [0.0, 300.0]])), graph.weight(np.array([1.0, -1.0]))], "y", transB=1)
    session = onnxruntime.InferenceSession(graph.model([("x", ["n", 2])], [("y", ["n", 2])]))
    (found,) = session.run(None, {"x": np.array([[1.0, 2.0], [0.5, -1.0]], np.float32)})
    np.testing.assert_array_equal(found, [[3.0, 599.0], [2.0, -301.0]])
