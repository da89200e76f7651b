"""Features: V' bitwise, windows of unequal size, memory and disk cache of a frozen tower."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from videoperceiver.errors import ModelError
from videoperceiver.models import Backbone, TreeBuilder
from videoperceiver.models import vision as vision_module
from videoperceiver.types import Clip

DEGRADED = [0, 1, 2, 3, 4, 5, 6, 6, 6, *range(9, 16)]


def both(backbone, clip):
    builder = TreeBuilder(backbone, clip, DEGRADED)
    builder.video(), builder.degraded()
    return builder.tree()


def test_v_prime_is_bitwise_equal_to_a_full_encode(backbone, make_clip):
    """Also the DeepStack features; unchanged patches are V's own."""
    clip = make_clip()
    tree = both(backbone, clip)
    per = backbone.adapter.frames_per_patch
    changed = len(tree.patches) - 16 // per
    assert changed == {1: 0, 2: 2}[per]  # two frames are replaced; a patch of one frame only shows a known one again
    with torch.no_grad():
        shared = backbone.features([tree])
        other = TreeBuilder(backbone, Clip(clip.frames[DEGRADED], clip.t_s, "x"))
        other.video()
        alone = backbone.features([other.tree()])
    shown = tree.nodes[2].patches
    tokens = backbone.adapter.tokens_per_patch(32, 32)
    start = 16 // per - len(shown)
    assert len(shared.deepstack) == len(alone.deepstack) == (2 if "Qwen3" in type(backbone.processor).__name__ else 0)
    for mine, full in zip([shared.tokens, *shared.deepstack], [alone.tokens, *alone.deepstack], strict=True):
        rows = mine.view(-1, tokens, mine.shape[-1])[shown]
        assert torch.equal(rows, full.view(-1, tokens, full.shape[-1])[start:])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 80), (16, 112), (80, 48)])
def test_features_equal_the_models_own(backbone, plain, make_clip, height, width):
    """Batched attention against the loop of transformers, with edge and corner windows."""
    clip = make_clip(height=height, width=width)
    builder = TreeBuilder(backbone, clip)
    builder.video()
    with torch.no_grad():
        mine = backbone.features([builder.tree()])
        inputs = plain.inputs(clip, "what")
        if "pixel_values" in inputs:
            expected = plain.model.model.get_image_features(pixel_values=inputs["pixel_values"])
        else:
            expected = plain.model.model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"])
    tokens = torch.cat(list(expected.pooler_output))
    torch.testing.assert_close(mine.tokens, tokens, rtol=1e-5, atol=1e-6)
    for extra, wanted in zip(mine.deepstack, getattr(expected, "deepstack_features", None) or (), strict=True):
        torch.testing.assert_close(extra, torch.cat(list(wanted)), rtol=1e-5, atol=1e-6)


def count_patches(monkeypatch, backbone):
    encoded = []
    original = backbone.adapter.encode
    monkeypatch.setattr(backbone.adapter, "encode", lambda frames: encoded.append(len(frames)) or original(frames))
    return encoded


def test_each_distinct_patch_is_encoded_once_in_one_call(qwen, make_clip, monkeypatch):
    encoded = count_patches(monkeypatch, qwen)
    qwen([both(qwen, make_clip(seed)) for seed in range(3)])
    assert encoded == [3 * (8 + 2)]
    encoded.clear()
    qwen([both(qwen, make_clip(0)), both(qwen, make_clip(1, height=48))])
    assert encoded == [10, 10]


def test_a_trained_tower_gets_gradients_and_remembers_nothing(qwen, make_clip):
    tree = both(qwen, make_clip())
    assert qwen.features([tree]).tokens.requires_grad
    assert tree.memory == {}


def test_a_frozen_tower_is_run_once_for_all_trees_of_a_builder(folders, family, make_clip, monkeypatch):
    frozen = Backbone.load(folders[family])
    assert frozen.frozen_vision
    trained = Backbone.load(folders[family], freeze_vision=False)
    encoded = count_patches(monkeypatch, frozen)
    builder = TreeBuilder(frozen, make_clip(), DEGRADED)
    builder.answer(builder.question(builder.video(), "what"), "red")
    for tree in (builder.tree(), builder.tree()):
        loss = frozen([tree]).logps.sum()
    assert len(encoded) == 1
    asked = TreeBuilder(trained, make_clip(), DEGRADED)
    asked.answer(asked.question(asked.video(), "what"), "red")
    torch.testing.assert_close(loss, trained([asked.tree()]).logps.sum())
    assert loss.requires_grad
    assert not frozen.features([tree]).tokens.requires_grad


def test_the_disk_cache_is_keyed_by_pixels_and_weights(folders, family, make_clip, tmp_path, monkeypatch):
    frozen = Backbone.load(folders[family])
    frozen.cache_features(tmp_path)
    expected = frozen.features([both(frozen, make_clip())])
    (path,) = tmp_path.rglob("*.safetensors")
    assert set(load_file(path)) == {"tokens", *(f"deepstack.{i}" for i in range(len(expected.deepstack)))}
    encoded = count_patches(monkeypatch, frozen)
    again = frozen.features([both(frozen, make_clip())])
    assert encoded == []
    assert all(torch.equal(a, b) for a, b in zip([again.tokens, *again.deepstack], [expected.tokens, *expected.deepstack], strict=True))
    frozen.features([both(frozen, make_clip(seed=1))])
    assert len(encoded) == 1
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    with torch.no_grad():
        next(frozen.adapter.vision[0].parameters()).add_(0.5)
    frozen.cache_features(tmp_path)
    changed = frozen.features([both(frozen, make_clip())])
    assert len(encoded) == 2
    assert not torch.equal(changed.tokens, expected.tokens)
    assert list(tmp_path.rglob("*.partial")) == []


def test_a_trained_tower_cannot_be_cached(qwen, tmp_path):
    with pytest.raises(ModelError, match="vision tower is trained"):
        qwen.cache_features(tmp_path)


def test_memory_of_a_later_tree_does_not_leak_into_an_earlier_one(folders, make_clip):
    frozen = Backbone.load(folders["qwen2_5_vl"])
    builder = TreeBuilder(frozen, make_clip())
    builder.video()
    tree = builder.tree()
    tree.memory.update(patches=10, features=vision_module.Features(torch.arange(40.0)[:, None].expand(40, 128)))
    assert frozen.features([tree]).tokens[:, 0].tolist() == np.arange(32.0).tolist()
