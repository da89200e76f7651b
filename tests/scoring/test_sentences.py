"""Packaged sentence vectors: unit length, batch-independent, and near where meanings are near."""

import numpy as np
import pytest

from videoperceiver.scoring.sentences import SentenceEncoder


@pytest.fixture(scope="module")
def encode():
    return SentenceEncoder()


def test_similar_meanings_are_near(encode):
    a, b, c = encode(["a man plays the guitar", "someone performs music on an acoustic guitar", "a bowl of fruit"])
    assert a @ b > 0.6 > 0.3 > a @ c
    np.testing.assert_allclose([a @ a, c @ c], 1, atol=1e-5)


def test_padding_and_order_do_not_matter(encode):
    texts = ["kick", "a car swerves to the left and hits a lamp post in the rain", "", "Kick"]
    together = encode(texts)
    alone = np.concatenate([encode([text]) for text in texts])
    assert ((together * alone).sum(1) > 0.98).all()  # int8 activations are scaled by batch
    assert together[0] @ together[3] > 0.999  # case is ignored
