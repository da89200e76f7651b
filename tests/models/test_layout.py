"""Packing: who sees whom, early exits, and the property that random trees equal their branches run alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from videoperceiver.models import Backbone, Node, Tree
from videoperceiver.models.layout import lay_out
from videoperceiver.models.segments import Segment, segments

NO_VIDEO = {"frames": np.zeros((0, 32, 32, 3), np.uint8), "t_s": np.zeros(0), "patches": []}


def tree_of(*nodes):
    return Tree(list(nodes), **NO_VIDEO)


def node(length, parent=-1, **more):
    return Node(np.arange(1, length + 1), parent, **more)


def lay(trees, one_row=False, blocks=4):
    empty = [np.zeros(0, np.int64)] * len(trees)
    return lay_out(trees, num_blocks=blocks, media_token_ids=(), patch_start=empty, patch_tokens=[4] * len(trees), one_row=one_row)


def visible(stage):
    at = np.arange(stage.width)
    return (at[:, None] >= at) & (at[:, None] < stage.end[:, None, :])


def test_a_token_sees_its_node_so_far_and_all_ancestors():
    # 0 (2 tokens) -> 1 (1), 2 (2) -> 3 (1): depth first 0 1 2 3
    (stage,) = lay([tree_of(node(2), node(1, 0), node(2, 0), node(1, 2))]).stages
    expected = np.array(
        [
            [1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [1, 1, 0, 1, 0, 0],
            [1, 1, 0, 1, 1, 0],
            [1, 1, 0, 1, 1, 1],
        ],
        dtype=bool,
    )
    assert (visible(stage)[0] == expected).all()
    assert segments(stage) == [Segment(0, 0, 2, 6), Segment(0, 2, 3, 3), Segment(0, 3, 5, 6), Segment(0, 5, 6, 6)]


def test_children_given_out_of_order_are_laid_depth_first():
    tree = tree_of(node(1), node(1, 0), node(1, 0), node(1, 1))
    assert tree.order.tolist() == [0, 1, 3, 2]
    assert tree.last.tolist() == [3, 2, 2, 3]


def test_roots_are_packed_into_rows_as_wide_as_the_longest():
    stage = lay([tree_of(node(5), node(2)), tree_of(node(3), node(1))]).stages[0]
    assert (stage.rows, stage.width) == (3, 5)  # 5 | 3+2 | 1
    one = lay([tree_of(node(5), node(2)), tree_of(node(3), node(1))], one_row=True).stages[0]
    assert (one.rows, one.width) == (1, 11)


def test_early_exits_repack_the_survivors():
    layout = lay([tree_of(node(3), node(4, 0, depth=2), node(2, 0)), tree_of(node(6, depth=1))])
    assert [(s.first, s.stop, s.rows, s.width) for s in layout.stages] == [(0, 1, 2, 9), (1, 2, 1, 9), (2, 4, 1, 5)]
    ids = layout.input_ids.reshape(-1)
    for stage in layout.stages[1:]:
        ids = ids[stage.source]
    assert ids.tolist() == [1, 2, 3, 1, 2]


def test_positions_follow_the_parent_in_every_branch():
    tree = tree_of(node(3), node(2, 0), node(4, 0), node(1, 2))
    assert [n.positions[0].tolist() for n in tree.nodes] == [[0, 1, 2], [3, 4], [3, 4, 5, 6], [7]]


def test_targets_are_predicted_from_the_token_before():
    answer = node(2, 0, labels=np.array([1, 2]))
    late = node(3, 0, labels=np.array([-100, -100, 3]))
    layout = lay([tree_of(node(4), answer, late)])
    assert layout.target_ids.tolist() == [1, 2, 3]
    assert layout.target_from.tolist() == [3, 4, 7]
    assert layout.target_node.tolist() == [[0, 1], [0, 1], [0, 2]]


def test_a_label_that_nothing_predicts_is_refused():
    with pytest.raises(ValueError, match="root with a label at position 0"):
        lay([tree_of(node(1, labels=np.array([1])))])


def test_a_parent_after_its_child_is_refused():
    with pytest.raises(ValueError, match="node 0 has parent 1"):
        tree_of(node(1, 1), node(1))


@st.composite
def random_trees(draw):
    """1-3 trees of 1-20 branches of 1-200 tokens, any shape."""
    trees = []
    for _ in range(draw(st.integers(1, 3))):
        nodes = []
        for i in range(draw(st.integers(1, 20))):
            length = draw(st.integers(1, 40) | st.integers(1, 200))
            parent = draw(st.integers(-1, i - 1))
            ids = np.random.default_rng(draw(st.integers(0, 999))).integers(9, 34, length)
            nodes.append(Node(ids, parent, labels=np.where(np.arange(length) > 0, ids, -100) if draw(st.booleans()) else None))
        trees.append(tree_of(*nodes))
    return trees


@pytest.fixture(scope="module")
def shared(folders) -> Backbone:
    return Backbone.load(folders["qwen2_5_vl"])


@given(trees=random_trees())
@settings(max_examples=8, deadline=None)
def test_random_trees_equal_each_path_run_alone(shared, trees):
    """Packed densely and as segments against one row a path through plain transformers layers with a causal mask."""
    with torch.no_grad():
        packed = []
        for shared.attention in ("dense", "segments"):
            packed.append(shared(trees))
        for b, tree in enumerate(trees):
            for i, item in enumerate(tree.nodes):
                if item.labels is None or len(item) == 1:
                    continue
                ids = np.concatenate([tree.nodes[k].input_ids for k in tree.path(i)])
                logits = shared.adapter.model(input_ids=torch.from_numpy(ids)[None]).logits[0, -len(item) : -1].log_softmax(-1)
                expected = logits.gather(1, torch.from_numpy(item.input_ids[1:, None])).squeeze(1)
                for out in packed:
                    own = (out.node == torch.tensor([b, i])).all(1)
                    torch.testing.assert_close(out.logps[own], expected, rtol=1e-4, atol=2e-5)


@given(trees=random_trees(), exits=st.lists(st.integers(1, 4), min_size=60, max_size=60), seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_segments_equal_a_dense_mask_with_any_exits(shared, trees, exits, seed):
    """Taps of randomly exiting nodes, and gradients of their sum."""
    depths = iter(exits)
    for tree in trees:
        for item in tree.nodes:
            item.labels, item.depth, item.tap = None, next(depths), True
    again = [tree_of(*tree.nodes) for tree in trees]
    results = []
    for shared.attention in ("dense", "segments"):
        shared.zero_grad()
        taps = shared(again, [1]).taps[1]
        taps.pow(2).sum().backward()
        results.append([taps.detach(), shared.adapter.decoder.layers[0].self_attn.k_proj.weight.grad.clone()])
    for dense, segmented in zip(*results, strict=True):
        torch.testing.assert_close(dense, segmented, rtol=1e-3, atol=1e-4 * float(dense.abs().max()))
