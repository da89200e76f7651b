"""The negative queue: order, detachment, masks, and a checkpoint that continues bit for bit."""

import pytest
import torch

from videoperceiver.losses.contrastive import contrastive_losses
from videoperceiver.losses.queue import NegativeQueue


def push(queue, value, *, has_degraded=True, has_text=True, number=0):
    h = torch.full((1, 2), float(value), requires_grad=True)
    queue.push(h, h + 0.1, h + 0.2, has_degraded=torch.tensor([has_degraded]), has_text=torch.tensor([has_text]), ids=torch.tensor([number]))


def test_keeps_the_newest_and_drops_what_a_row_lacks():
    queue = NegativeQueue(2)
    assert queue.negatives() is None
    assert len(queue) == 0
    push(queue, 1)
    push(queue, 2, has_degraded=False, number=5)
    push(queue, 3, has_text=False, number=6)
    got = queue.negatives()
    assert len(queue) == 2
    assert got.video[:, 0].tolist() == [2.0, 3.0]
    assert got.video_ids.tolist() == [5, 6]
    assert got.degraded[:, 0].tolist() == pytest.approx([3.1])
    assert got.text[:, 0].tolist() == pytest.approx([2.2])
    assert got.text_ids.tolist() == [5]
    assert not got.video.requires_grad


def test_state_continues_bit_for_bit():
    queue, resumed = NegativeQueue(3), NegativeQueue(3)
    for value in (1, 2):
        push(queue, value)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in queue.state_dict().items()})
    for q in (queue, resumed):
        push(q, 3)
        push(q, 4)
    assert torch.equal(queue.negatives().video, resumed.negatives().video)
    assert torch.equal(queue.negatives().degraded, resumed.negatives().degraded)
    empty = NegativeQueue(3)
    empty.load_state_dict(NegativeQueue(3).state_dict())
    assert len(empty) == 0


def test_more_negatives_raise_the_loss():
    torch.manual_seed(0)
    h, have = torch.randn(4, 2, 8), torch.ones(2, dtype=torch.bool)
    queue = NegativeQueue(16)
    queue.push(*torch.randn(3, 16, 8), has_degraded=torch.ones(16, dtype=torch.bool), has_text=torch.ones(16, dtype=torch.bool))
    alone = contrastive_losses(*h, has_degraded=have, has_text=have)
    helped = contrastive_losses(*h, has_degraded=have, has_text=have, negatives=queue.negatives())
    assert helped.video_video > alone.video_video
    assert helped.text_video > alone.text_video
    assert helped.video_text > alone.video_text


def test_refuses_no_room():
    with pytest.raises(ValueError, match="at least 1"):
        NegativeQueue(0)
