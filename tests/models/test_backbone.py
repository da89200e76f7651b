"""Loading, saving, LoRA, checkpointing: the same numbers, and clear refusals."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from videoperceiver.errors import ModelError
from videoperceiver.models import Backbone, Lora, TreeBuilder

DEGRADED = [0, 1, 2, 3, 4, 5, 6, 6, 6, *range(9, 16)]


def contrastive(backbone, clip):
    """Main branches and early exits; a loss over targets and taps."""
    depth = backbone.adapter.min_depth + 1
    builder = TreeBuilder(backbone, clip, DEGRADED)
    video = builder.video(tap=True)
    for answer in ("red", "green ; blue"):
        builder.answer(builder.question(video, "what colour is the flash ?"), answer)
    builder.degraded(depth, tap=True), builder.second_view(dropout=0.0, depth=depth), builder.text("flash", depth=depth)
    out = backbone([builder.tree()], [depth])
    return -out.logps.mean() + 0.1 * torch.nn.functional.cosine_similarity(*out.taps[depth][:2], dim=0)


def without_dtype(config):
    return {key: without_dtype(value) if isinstance(value, dict) else value for key, value in config.items() if key != "dtype"}


def gradients(backbone):
    return {name: weight.grad.clone() for name, weight in backbone.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("attention", ["dense", "segments"])
def test_gradient_checkpointing_changes_nothing(folders, family, make_clip, attention):
    runs = []
    for checkpointing in (False, True):
        backbone = Backbone.load(folders[family], freeze_vision=False, gradient_checkpointing=checkpointing, attention=attention).train()
        loss = contrastive(backbone, make_clip())
        loss.backward()
        runs.append((loss.detach(), gradients(backbone)))
    torch.testing.assert_close(runs[0][0], runs[1][0])
    assert runs[0][1].keys() == runs[1][1].keys()
    for name, gradient in runs[0][1].items():
        torch.testing.assert_close(gradient, runs[1][1][name], rtol=1e-4, atol=1e-6)


def test_checkpointing_recomputes_blocks_in_the_backward_pass(folders, make_clip):
    backbone = Backbone.load(folders["qwen2_5_vl"], gradient_checkpointing=True).train()
    calls = []
    backbone.adapter.decoder.layers[1].input_layernorm.register_forward_pre_hook(lambda *_: calls.append(1))
    loss = contrastive(backbone, make_clip())
    assert len(calls) == 1
    loss.backward()
    assert len(calls) == 2


def test_lora_starts_equal_and_trains_language_blocks_only(folders, family, make_clip):
    plain = Backbone.load(folders[family])
    tuned = Backbone.load(folders[family], lora=Lora(rank=4), gradient_checkpointing=True).train()
    loss = contrastive(tuned, make_clip())
    torch.testing.assert_close(loss, contrastive(plain, make_clip()))
    loss.backward()
    trained = gradients(tuned)
    assert len(trained) == 4 * 7 * 2  # blocks x (q, k, v, o, gate, up, down) x (A, B)
    assert all(".layers." in name and "lora_" in name for name in trained)
    assert not any(word in name for name in trained for word in ("visual", "vision_tower", "projector"))


def test_lora_may_reach_the_tower_if_told(folders):
    tuned = Backbone.load(folders["qwen2_5_vl"], lora=Lora(rank=4, vision=True), freeze_vision=False)
    assert any("visual" in name for name, weight in tuned.named_parameters() if weight.requires_grad)
    assert not tuned.frozen_vision


def test_lora_gradients_equal_the_plain_path(folders, make_clip):
    torch.manual_seed(0)
    tuned = Backbone.load(folders["qwen2_5_vl"], lora=Lora(rank=4))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    packed = contrastive(tuned, make_clip())
    packed.backward()
    one = gradients(tuned)
    tuned.zero_grad()
    tuned.attention = "segments"
    contrastive(tuned, make_clip()).backward()
    for name, gradient in gradients(tuned).items():
        torch.testing.assert_close(gradient, one[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_what_is_saved_loads_in_plain_transformers_and_here(folders, family, make_clip, tmp_path, lora):
    backbone = Backbone.load(folders[family], lora=lora)
    with torch.no_grad():
        for weight in backbone.parameters():
            if weight.requires_grad:
                weight.add_(0.02 * torch.randn_like(weight))
    expected = contrastive(backbone, make_clip())
    backbone.save(tmp_path)
    torch.testing.assert_close(contrastive(backbone, make_clip()), expected)
    reloaded = Backbone.load(tmp_path)
    torch.testing.assert_close(contrastive(reloaded, make_clip()), expected, rtol=1e-4, atol=1e-5)
    model, names = AutoModelForImageTextToText.from_pretrained(tmp_path, output_loading_info=True)
    assert not names["missing_keys"]
    assert not names["unexpected_keys"]
    written, original = (without_dtype(json.loads((folder / "config.json").read_text())) for folder in (tmp_path, folders[family]))
    assert written == original
    assert type(AutoProcessor.from_pretrained(tmp_path)) is type(backbone.processor)
    assert (tmp_path / "lora" / "adapter_model.safetensors").exists() == (lora is not None)
    assert sorted(model.state_dict()) == sorted(AutoModelForImageTextToText.from_pretrained(folders[family]).state_dict())


def test_frozen_and_trained_weights(folders):
    frozen, trained = Backbone.load(folders["qwen2_5_vl"]), Backbone.load(folders["qwen2_5_vl"], freeze_vision=False)
    assert not any(weight.requires_grad for name, weight in frozen.named_parameters() if "visual" in name)
    assert all(weight.requires_grad for name, weight in frozen.named_parameters() if "visual" not in name)
    assert all(weight.requires_grad for weight in trained.parameters())


def test_plain_calls_on_the_same_model_still_work(backbone, plain, make_clip):
    inputs = plain.inputs(make_clip(), "what", "red")
    with torch.no_grad():
        torch.testing.assert_close(backbone.adapter.model(**inputs).logits, plain.model(**inputs).logits, rtol=1e-5, atol=1e-5)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ModelError, match=f"{tmp_path}: no checkpoint loads from there"):
        Backbone.load(tmp_path)


def test_another_architecture_is_refused(tmp_path):
    from transformers import LlamaConfig

    LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"checkpoint of type 'llama', expected one of qwen2_5_vl, qwen3_vl, internvl"):
        Backbone.load(tmp_path)


def test_pickled_weights_are_refused(folders, tmp_path):
    shutil.copytree(folders["qwen2_5_vl"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no checkpoint loads from there"):
        Backbone.load(tmp_path)


def test_a_missing_processor_is_named(folders, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folders["qwen2_5_vl"] / name, tmp_path)
    with pytest.raises(ModelError, match=r"without a video processor|has no processor"):
        Backbone.load(tmp_path)


def test_a_mismatched_processor_says_what_differs(folders, tmp_path):
    shutil.copytree(folders["qwen2_5_vl"], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "processor_config.json"
    path.write_text(path.read_text().replace('"patch_size": 8', '"patch_size": 14'))
    with pytest.raises(ModelError, match=r"are \(14, 2, 2, \d+\), the model's are \(8, 2, 2, \d+\)"):
        Backbone.load(tmp_path)


def test_a_template_without_a_video_is_refused(folders, tmp_path):
    shutil.copytree(folders["qwen2_5_vl"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}{% endfor %}")
    with pytest.raises(ModelError, match=r"expected one .* before one question"):
        Backbone.load(tmp_path)


def test_attention_without_kernels_is_refused(qwen, make_clip):
    qwen.attention = "flex"
    with pytest.raises(ModelError, match="flex has no backward on CPU"):
        contrastive(qwen, make_clip())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_equals_dense(backbone, make_clip):
    losses = []
    with torch.no_grad():
        for backbone.attention in ("dense", "flex"):
            losses.append(contrastive(backbone, make_clip()))
    torch.testing.assert_close(*losses)


def test_auto_goes_by_size(qwen, monkeypatch, make_clip):
    from videoperceiver.models import attention

    picked = []
    build = attention.build
    monkeypatch.setattr(attention, "build", lambda kind, *rest: picked.append(kind) or build(kind, *rest))
    contrastive(qwen, make_clip())
    monkeypatch.setattr(attention, "DENSE_UP_TO", 64)
    contrastive(qwen, make_clip())
    assert picked == ["dense", "dense", "segments", "segments"]
