"""The packaged network in whole numbers: near what torch computes, and the same bits whatever the batch, the number of threads and the way sums are made."""

import numpy as np
import pytest

from videoperceiver.scoring import efficientnet, int8_graph
from videoperceiver.scoring.onnx_graph import Graph


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """(5, 192, 192, 3) uint8: blocks of colour."""
    blocks = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    return blocks.repeat(16, 1).repeat(16, 2)


def test_it_sees_what_the_network_in_torch_sees(pixels):
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
    assert _cosine(local, expected_local.numpy()).min() > 0.95
    assert _cosine(local, expected_local.numpy()).mean() > 0.98
    assert _cosine(tags, expected_tags.numpy()).min() > 0.98
    assert np.ptp(tags) > 1  # it does see something


def test_the_fast_sums_and_the_exact_ones_are_the_same_bits(pixels):
    """Where the processor's fast sums overflow, the session takes the exact ones; elsewhere both must agree."""
    model = efficientnet._model(efficientnet._network())
    given = (pixels[:2].transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
    fast, exact = (int8_graph._session(model, 1, exact=way).run(["local"], {"pixels": given})[0] for way in (not int8_graph._sums_exactly(), True))
    np.testing.assert_array_equal(fast, exact)


def test_a_convolution_in_bytes_is_the_whole_numbers_it_stands_for():
    """Against the sums in whole numbers, in numpy; a channel without weights has its bias alone."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 3, 1, 1)), rng.normal(size=4)
    kernel[2] = 0
    graph, given, made = int8_graph.Int8Graph(), int8_graph.Scale(0.1, 100), int8_graph.Scale(0.25, 30)
    graph.read(graph.conv(graph.store("x", given), kernel, bias, made), "y")
    bytes_in = rng.integers(0, 256, (1, 3, 5, 5))
    session = int8_graph.session(graph.model([("x", [1, 3, 5, 5])], [("y", [1, 4, 5, 5])]), 1)
    (found,) = session.run(None, {"x": (0.1 * (bytes_in - 100)).astype(np.float32)})
    steps = np.abs(kernel[:, :, 0, 0]).max(1) / 127
    steps[2] = abs(bias[2]) / 0.1 / 2**30
    whole, sums = np.round(kernel[:, :, 0, 0] / steps[:, None]), np.round(bias / 0.1 / steps)
    exact = np.einsum("oi,nihw->nohw", whole, bytes_in - 100.0) + sums[:, None, None]
    expected = (np.clip(np.round(exact * (0.1 * steps / 0.25)[:, None, None]) + 30, 0, 255) - 30) * 0.25
    assert np.abs(found - expected).max() <= 0.25 + 1e-6  # a half may round either way
    assert (found == expected.astype(np.float32)).mean() > 0.97
    np.testing.assert_allclose(found[:, 2], np.round(bias[2] / 0.25) * 0.25, atol=1e-6)


def test_a_grouped_convolution_pads_with_what_stands_for_zero():
    """3 x 3, a group a channel, stride 2, padded on two sides: against torch over the whole numbers."""
    import torch

    rng = np.random.default_rng(1)
    kernel, bytes_in = rng.normal(size=(4, 1, 3, 3)), rng.integers(0, 256, (1, 4, 8, 8))
    graph, given, made = int8_graph.Int8Graph(), int8_graph.Scale(0.1, 100), int8_graph.Scale(0.5, 128)
    stored = graph.conv(graph.store("x", given), kernel, np.zeros(4), made, strides=[2, 2], group=4, pads=[0, 0, 1, 1])
    graph.read(stored, "y")
    session = int8_graph.session(graph.model([("x", [1, 4, 8, 8])], [("y", [1, 4, 4, 4])]), 1)
    (found,) = session.run(None, {"x": (0.1 * (bytes_in - 100)).astype(np.float32)})
    steps = np.abs(kernel).max((1, 2, 3), keepdims=True) / 127
    padded = torch.nn.functional.pad(torch.from_numpy(bytes_in - 100.0), (0, 1, 0, 1))
    sums = torch.nn.functional.conv2d(padded, torch.from_numpy(np.round(kernel / steps)), stride=2, groups=4).numpy()
    expected = (np.clip(np.round(sums * (0.1 * steps / 0.5).reshape(1, 4, 1, 1)) + 128, 0, 255) - 128) * 0.5
    assert np.abs(found - expected).max() <= 0.5 + 1e-6  # a half may round either way
    assert (found == expected.astype(np.float32)).mean() > 0.97


def test_a_sum_keeps_the_ends_of_both_ranges():
    graph = int8_graph.Int8Graph()
    one, other = graph.store("a", int8_graph.Scale(1.0, 10)), graph.store("b", int8_graph.Scale(0.5, 200))
    graph.read(graph.add(one, other), "y")
    session = int8_graph.session(graph.model([("a", [2]), ("b", [2])], [("y", [2])]), 1)
    (found,) = session.run(None, {"a": np.array([245.0, -10.0], np.float32), "b": np.array([27.5, -100.0], np.float32)})
    np.testing.assert_allclose(found, [272.5, -110.0], atol=0.76)  # half a step of (272.5 + 110) / 255


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


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
    weights = [graph.constant(np.array(values, np.float32)) for values in ([[2.0, 0.0], [0.0, 300.0]], [1.0, -1.0])]
    graph.node("Gemm", ["x", *weights], "y", transB=1)
    session = onnxruntime.InferenceSession(graph.model([("x", ["n", 2])], [("y", ["n", 2])]))
    (found,) = session.run(None, {"x": np.array([[1.0, 2.0], [0.5, -1.0]], np.float32)})
    np.testing.assert_array_equal(found, [[3.0, 599.0], [2.0, -301.0]])
