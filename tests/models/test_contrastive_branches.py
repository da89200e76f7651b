"""What the contrastive loss reads at block l, option by option, against plain transformers forwards of the same rows."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertModel
from transformers.video_utils import VideoMetadata

from videoperceiver.errors import ModelError, SampleError
from videoperceiver.models import Backbone, TreeBuilder
from videoperceiver.models.backbone import BESIDE
from videoperceiver.types import Clip

DEGRADED = [0, 1, 2, 3, 4, 5, 6, 6, 6, *range(9, 16)]
KEYWORDS = "flash ; red"
NEAR = {"rtol": 1e-4, "atol": 1e-5}


def twin(clip):
    return Clip(clip.frames[DEGRADED], clip.t_s, clip.source)


def rows_of(out, block):
    return {node: row for (_, node), row in zip(out.tap_index.tolist(), out.taps[block], strict=True)}


def ends(ids, end):
    return (ids == end).nonzero().flatten().tolist()


# eq. (3), literal: one causal row


@pytest.mark.parametrize("attention", ["dense", "segments"])
def test_concatenated_layout_is_the_plain_forward_of_one_row(backbone, plain, family, make_clip, attention):
    backbone.attention = attention
    clip, depth = make_clip(), backbone.adapter.min_depth + 1
    builder = TreeBuilder(backbone, clip, DEGRADED)
    video = builder.video(tap=True)
    builder.answer(builder.question(video, "what colour ?"), "red")
    degraded = builder.degraded_after(video, depth, tap=True)
    text = builder.text(KEYWORDS, parent=degraded, depth=depth)
    out = backbone([builder.tree()], [depth])
    found = rows_of(out, depth)

    placeholder = backbone.adapter.placeholder
    row = backbone.prompt.opening + placeholder + KEYWORDS + "<|im_end|>"
    metadata = [VideoMetadata(total_num_frames=16, fps=4.0, frames_indices=list(range(16)), height=32, width=32) for _ in range(2)]
    inputs = plain.processor(text=[row], videos=[clip.frames, twin(clip).frames], video_metadata=metadata, do_sample_frames=False, return_tensors="pt")
    states = plain.model(**inputs, output_hidden_states=True).hidden_states[depth][0]
    ids = inputs["input_ids"][0]
    assert ids.tolist() == [i for node in builder.tree().path(text) for i in builder.tree().nodes[node].input_ids.tolist()]
    length = builder.video_tokens
    second = len(builder.tree().nodes[degraded])
    expected = {video: states[length - 1], degraded: states[length + second - 1], text: states[-1]}
    assert length + second + len(builder.tree().nodes[text]) == len(ids)
    for node, state in expected.items():
        torch.testing.assert_close(found[node], state, **NEAR)
    sum(row.square().sum() for row in found.values()).backward()
    sum(state.square().sum() for state in expected.values()).backward()
    wanted = dict(plain.model.named_parameters())
    checked = 0
    for name, weight in backbone.adapter.model.named_parameters():
        if weight.grad is not None and wanted[name].grad is not None:
            torch.testing.assert_close(weight.grad, wanted[name].grad, rtol=2e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
            checked += 1
    assert checked > 20


def test_under_a_causal_mask_the_twin_sees_the_video_and_the_keywords_both(qwen, make_clip):
    """The copying trap: in one row h_V' and h_T change with V; isolated they do not."""
    found = []
    for seed in (0, 1):
        clip = make_clip(seed)
        frames = clip.frames.copy()
        frames[7:] = make_clip(2).frames[7:]  # V' shows frames 0..6 only in its unchanged part
        builder = TreeBuilder(qwen, Clip(frames, clip.t_s, "x"), [7] * 16)
        video = builder.video()
        after = builder.degraded_after(video, 2, tap=True)
        texts = [builder.text(KEYWORDS, parent=after, depth=2), builder.text(KEYWORDS, depth=2)]
        alone = builder.degraded(2, tap=True)
        with torch.no_grad():
            rows = rows_of(qwen([builder.tree()], [2]), 2)
        found.append([rows[node] for node in (after, texts[0], texts[1], alone)])
    assert not torch.allclose(found[0][0], found[1][0], atol=1e-3)
    assert not torch.allclose(found[0][1], found[1][1], atol=1e-3)
    torch.testing.assert_close(found[0][2], found[1][2])
    torch.testing.assert_close(found[0][3], found[1][3], **NEAR)


def test_a_twin_that_shows_nothing_new_is_refused_in_both_layouts(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip(), list(range(16)))
    video = builder.video()
    for call in (builder.degraded, lambda: builder.degraded_after(video)):
        with pytest.raises(SampleError, match="skip V' for this sample"):
            call()


# the second view


@pytest.mark.parametrize("attention", ["dense", "segments"])
def test_attention_dropout_of_the_view_is_that_of_the_plain_model(folders, plain, family, make_clip, attention):
    """Same seed, same masks: the view alone draws what the plain row draws, in the same order."""
    backbone = Backbone.load(folders[family], freeze_vision=False, attention=attention).train()
    depth = backbone.adapter.min_depth + 1
    plain.model.train()
    for layer in plain.model.model.language_model.layers:
        layer.self_attn.attention_dropout = 0.3
    clip = make_clip()
    builder = TreeBuilder(backbone, clip)
    builder.answer(builder.question(builder.video(tap=True), "what colour ?"), "red")
    view = builder.second_view(dropout=0.3, depth=depth, where="attention")
    torch.manual_seed(3)
    out = rows_of(backbone([builder.tree()], [depth]), depth)
    metadata = VideoMetadata(total_num_frames=16, fps=4.0, frames_indices=list(range(16)), height=32, width=32)
    row = {"text": [backbone.prompt.opening], "videos": [clip.frames], "video_metadata": [metadata]}
    inputs = plain.processor(**row, do_sample_frames=False, return_tensors="pt")
    torch.manual_seed(3)
    state = plain.model(**inputs, output_hidden_states=True).hidden_states[depth][0, -1]
    torch.testing.assert_close(out[view], state, **NEAR)
    assert (out[view] - out[0]).abs().max() > 1e-2
    out[view].sum().backward()
    state.sum().backward()
    ours = backbone.adapter.decoder.layers[0].self_attn.v_proj.weight.grad
    torch.testing.assert_close(ours, plain.model.model.language_model.layers[0].self_attn.v_proj.weight.grad, rtol=1e-3, atol=1e-5)


def test_attention_dropout_of_several_views_leaves_everybody_else_alone(qwen, make_clip):
    def tree(clip, where):
        builder = TreeBuilder(qwen, clip, DEGRADED if len(clip) == 16 else None)
        builder.answer(builder.question(builder.video(tap=True), "what colour ?"), "red")
        if len(clip) == 16:
            builder.degraded(2, tap=True)
        builder.second_view(dropout=0.5 if where else 0.0, depth=2, where=where or "features")
        return builder.tree()

    clips = [make_clip(0), make_clip(1), make_clip(2, frames=8)]
    qwen.train()
    with torch.no_grad():
        plain = qwen([tree(clip, "") for clip in clips], [2])
        dropped = qwen([tree(clip, "attention") for clip in clips], [2])
        again = qwen.eval()([tree(clip, "attention") for clip in clips], [2])
    torch.testing.assert_close(dropped.logps, plain.logps)
    views = torch.zeros(len(plain.tap_index), dtype=torch.bool)
    views[[2, 5, 7]] = True  # V, V', view; V, V', view; V, view
    torch.testing.assert_close(dropped.taps[2][~views], plain.taps[2][~views])
    assert ((dropped.taps[2] - plain.taps[2]).abs().amax(1)[views] > 1e-3).all()
    torch.testing.assert_close(again.taps[2], plain.taps[2])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_view_without_gradient_has_the_same_taps_and_leaves_the_other_gradients(folders, make_clip, checkpointing):
    results = []
    for gradient in (True, False):
        backbone = Backbone.load(folders["qwen2_5_vl"], freeze_vision=False, gradient_checkpointing=checkpointing).train()
        builder = TreeBuilder(backbone, make_clip(), DEGRADED)
        video = builder.video(tap=True)
        builder.answer(builder.question(video, "what colour ?"), "red", distribution=True)
        view = builder.second_view(dropout=0.0, depth=2, gradient=gradient)
        degraded, text = builder.degraded(2, tap=True), builder.text(KEYWORDS, depth=2)
        out = backbone([builder.tree()], [2])
        rows = rows_of(out, 2)
        assert list(rows) == [video, view, degraded, text]
        (out.logps.sum() + sum(row.square().sum() for node, row in rows.items() if node != view)).backward()
        results.append((out, {name: weight.grad.clone() for name, weight in backbone.named_parameters() if weight.grad is not None}, view))
    (whole, gradients, _), (apart, other, view) = results
    torch.testing.assert_close(apart.taps[2], whole.taps[2], **NEAR)
    torch.testing.assert_close(apart.logps, whole.logps, **NEAR)
    assert torch.equal(apart.node, whole.node)
    assert apart.distributions.keys() == whole.distributions.keys()
    assert gradients.keys() == other.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(other[name], gradient, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    (seen,) = torch.autograd.grad(rows_of(apart, 2)[view].sum() + apart.logps.sum() * 0, apart.taps[2], allow_unused=True)
    assert seen is not None
    with torch.no_grad():
        alone = TreeBuilder(backbone, make_clip())
        alone.second_view(dropout=0.0, depth=2)
        torch.testing.assert_close(apart.taps[2][1], backbone([alone.tree()], [2]).taps[2][0], **NEAR)


def test_only_a_root_without_children_runs_apart(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    view = builder.second_view(dropout=0.1, gradient=False)
    builder.answer(builder.question(view, "what colour ?"), "red")
    with pytest.raises(ValueError, match="only a root without children"):
        qwen([builder.tree()], [2])


# X_T through a text encoder


def encoded(backbone, bert):
    backbone.attach_text_encoder(bert)
    return backbone


def test_keywords_go_in_as_projected_bert_tokens(qwen, bert, plain, make_clip):
    encoded(qwen, bert)
    builder = TreeBuilder(qwen, make_clip())
    builder.answer(builder.question(builder.video(), "what colour ?"), "red")
    text = builder.text(KEYWORDS, depth=2)
    row = rows_of(qwen([builder.tree()], [2]), 2)[text]

    ids = torch.tensor([[2, 5, 7, 6, 3]])  # [CLS] flash ; red [SEP]
    with torch.no_grad():
        states = BertModel.from_pretrained(bert).eval()(input_ids=ids).last_hidden_state[0]
    weight, bias = (x.detach().clone().requires_grad_() for x in (qwen.text_projection.weight, qwen.text_projection.bias))
    base = qwen.adapter.model
    end = base.get_input_embeddings()(torch.tensor([qwen.tokenizer.eos_token_id]))
    embeds = torch.cat([states @ weight.T + bias, end])[None]
    positions = torch.arange(6).expand(3, 1, 6)
    expected = base.model.language_model(inputs_embeds=embeds, position_ids=positions, output_hidden_states=True).hidden_states[2][0, -1]
    torch.testing.assert_close(row, expected, **NEAR)
    row.sum().backward()
    ours = qwen.text_projection.weight.grad, qwen.text_projection.bias.grad
    wanted = torch.autograd.grad(expected.sum(), (weight, bias))
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_projection_is_in_the_graph_of_a_batch_without_keywords(qwen, bert, make_clip):
    encoded(qwen, bert)
    builder = TreeBuilder(qwen, make_clip())
    builder.answer(builder.question(builder.video(), "what colour ?"), "red")
    qwen([builder.tree()]).logps.sum().backward()
    assert not qwen.text_projection.weight.grad.any()


def test_projected_tokens_start_at_the_size_of_the_models_own(qwen, bert):
    encoded(qwen, bert)
    table = qwen.adapter.decoder.get_input_embeddings().weight
    with torch.no_grad():
        made = qwen.text_projection(qwen.text_encoder(KEYWORDS))
    assert 0.5 < made.std().item() / table.std().item() < 2


def test_the_projection_is_no_part_of_the_plain_folder(folders, bert, tmp_path):
    backbone = encoded(Backbone.load(folders["qwen2_5_vl"]), bert)
    assert {name for name, _ in backbone.named_parameters() if name.startswith(BESIDE)} == {"text_projection.weight", "text_projection.bias"}
    backbone.save(tmp_path)
    names = {name for file in tmp_path.glob("*.safetensors") for name in load_file(file)}
    assert names
    assert not any("text_projection" in name for name in names)


def test_a_missing_text_encoder_is_named(qwen, tmp_path):
    with pytest.raises(ModelError, match="give a folder or hub id of a BERT checkpoint"):
        qwen.attach_text_encoder(tmp_path)


def test_timings_of_the_last_forward(qwen, make_clip):
    builder = TreeBuilder(qwen, make_clip())
    builder.answer(builder.question(builder.video(), "what colour ?"), "red")
    qwen([builder.tree()])
    assert qwen.timings.keys() == {"vision", "llm"}
    assert all(seconds > 0 for seconds in qwen.timings.values())


def test_attention_dropout_is_repeated_when_blocks_are_recomputed(folders, make_clip):
    found = []
    for checkpointing in (False, True):
        backbone = Backbone.load(folders["qwen2_5_vl"], gradient_checkpointing=checkpointing).train()
        builder = TreeBuilder(backbone, make_clip())
        builder.answer(builder.question(builder.video(), "what colour ?"), "red")
        view = builder.second_view(dropout=0.3, depth=2, where="attention")
        torch.manual_seed(3)
        rows_of(backbone([builder.tree()], [2]), 2)[view].sum().backward()
        found.append(backbone.adapter.decoder.layers[0].self_attn.v_proj.weight.grad)
    torch.testing.assert_close(found[0], found[1])
