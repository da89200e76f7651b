"""Plans against hand-computed numbers, against the real trees, and against memory measured on a real step."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import sft_tree
from videoperceiver.errors import ConfigError
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.live import GRADIENTS, LiveMemory
from videoperceiver.models.meta import HalfPrecision
from videoperceiver.stages import GrpoConfig, SftConfig
from videoperceiver.training import runtime
from videoperceiver.training.plan import Plan, plan
from videoperceiver.training.plan_changes import Setting, changes, first_that_fit
from videoperceiver.training.plan_gpus import Gpu, gpu_of
from videoperceiver.training.plan_memory import FP32
from videoperceiver.training.plan_trees import plain_flops, rows_flops
from videoperceiver.training.plan_workload import Workload
from videoperceiver.training.policy import load_backbone
from videoperceiver.training.sft import sft_layout
from videoperceiver.types import Sample

CPU = Gpu("cpu", 0, 0.05, 0.01, "this CPU")
WORDS = ["instruction=what", "caption_prompt=describe the video .", "output=unused"]


def tiny_config(tiny_model, rendered, *overrides):
    shape = ["model.dtype=float32", "model.freeze_vision=false", "model.gradient_checkpointing=false", "contrastive.tap_blocks=[2]", "batch_size=8"]
    return load(SftConfig, None, [f"model.path={tiny_model}", f"train=[{rendered}]", *WORDS, *shape, *overrides])


# --- what counts memory ---


def test_live_memory_by_hand():
    layer = nn.Linear(100, 50, bias=False)
    x = torch.zeros(10, 100)
    with LiveMemory() as live:
        live.watch(layer)
        y = layer(x)
        assert live.now == 10 * 50 * 4, "the result; weights and input were there before"
        z = y * 2
        del y
        assert live.now == 10 * 50 * 4, "a product with a number keeps nothing for the backward pass"
        z.sum().backward()
        assert live.by_kind[GRADIENTS] == 100 * 50 * 4
    assert live.peak >= 100 * 50 * 4 + 10 * 50 * 4


def test_a_shared_gradient_counts_by_its_share():
    layer = nn.Linear(8, 8, bias=False)
    with LiveMemory(gradient_share=0.25) as live:
        live.watch(layer)
        layer(torch.zeros(1, 8)).sum().backward()
        assert live.by_kind[GRADIENTS] == 64 * 4 / 4


def test_half_precision_is_what_autocast_does():
    layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    x = torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layers(x)
    with HalfPrecision(layers) as half:
        found = layers(x)
        assert len(half.cast) == 2, "each weight once"
        half.forward_done()
        assert not half.cast
    torch.testing.assert_close(found, expected)
    assert layers(x).dtype == torch.float32, "left as they were"


# --- against what is real ---


def real_step(config):
    """A real step of the recipe, and the bytes that lie there between steps."""
    backbone = load_backbone(config.model).train()
    optimizer = runtime.build_optimizer(backbone, config.optim)
    store = ClipStore(config.train, backbone.adapter.fit, split="train")
    layout, rng = sft_layout(config), np.random.default_rng(0)

    def step():
        trees = [sft_tree(backbone, sample, store.clip(sample), layout, rng).tree for sample in store.samples[: config.batch_size]]
        with torch.autocast("cpu", torch.bfloat16, enabled=config.model.dtype == "bfloat16"):
            output = backbone(trees, tuple(config.contrastive.tap_blocks))
        loss = output.logps.mean() + sum(tap.float().pow(2).mean() for tap in output.taps.values())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    return step, sum(p.nbytes for p in backbone.parameters()) + sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.ndim)


def measured_peak(config):
    """(bytes that lie there, most that a step adds) by the allocator's own events."""
    step, resting = real_step(config)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = sorted((event.start_ns(), event.nbytes()) for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]")
    return resting, float(np.cumsum([size for _, size in events]).max())


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("model.gradient_checkpointing=true",),
        ("model.freeze_vision=true", "model.lora_rank=4", "model.attention=segments"),
        ("model.dtype=bfloat16",),
        ("contrastive.view_gradient=false",),
    ],
    ids=["plain", "checkpointing", "lora-frozen-segments", "bfloat16", "view-without-gradient"],
)
def test_memory_is_within_15_percent_of_what_a_real_step_takes(options, tiny_model, rendered):
    config = tiny_config(tiny_model, rendered, *options)
    resting, peak = measured_peak(config)
    memory = plan(config, gpu=CPU).memory
    assert memory.weights + memory.optimizer == pytest.approx(resting, rel=0.01)
    assert memory.activations + memory.gradients + memory.logits == pytest.approx(peak, rel=0.15)
    assert memory.total == pytest.approx(resting + peak, rel=0.15)


@pytest.mark.parametrize(
    "options", [("contrastive.weight=0",), ("joint_weight=1",), ("model.gradient_checkpointing=true", "contrastive.view_gradient=false")], ids=" ".join
)
def test_operations_are_those_a_real_step_runs(options, tiny_model, rendered):
    """By torch's own counter, padding and masked pairs included, with attention as plain products so that it is counted too."""
    config = tiny_config(tiny_model, rendered, "instruction_share=0", "batch_size=10", *options)  # all clips there are
    step, _ = real_step(config)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        step()
    planned = plan(config, gpu=CPU)
    assert planned.operations["padding and masked pairs"] > 0
    assert planned.flops_a_step == pytest.approx(counter.get_total_flops(), rel=0.015)  # pixels need no gradient: 1 % here, where the tower is narrow


def test_a_plan_with_a_manifest_has_the_trees_of_training(tiny_model, rendered):
    config = tiny_config(tiny_model, rendered, "uniform_weight=1", "instruction_share=0")
    backbone = Backbone.load(tiny_model)
    store = ClipStore([rendered], backbone.adapter.fit, split="train")
    rng = np.random.default_rng(0)
    trees = [sft_tree(backbone, sample, store.clip(sample), sft_layout(config), rng).tree for sample in store.samples]
    found = plan(config, gpu=CPU)
    assert found.tokens == pytest.approx(np.mean([tree.num_tokens for tree in trees]))
    assert found.epochs == config.steps * 8 / len(trees)
    assert f"{len(trees):,} clips" in found.said


def test_rows_of_text_alone_are_left_out_of_what_is_looked_at(tiny_model, rendered):
    video = manifest.read(rendered)[0]
    text = Sample("text", "", "", "train", "mine", (), questions=(video.questions[0],))
    path = rendered.parent / "mixed.jsonl"
    manifest.write([video, text], path)
    found = plan(tiny_config(tiny_model, path), gpu=CPU)
    assert "2 clips" in found.said
    assert "1 looked at" in found.said


def test_texts_without_a_tokenizer_are_counted_by_words(rendered):
    config = load(SftConfig, None, ["model.path=Qwen/Qwen2.5-VL-3B-Instruct", f"train=[{rendered}]", "output=unused", "batch_size=1", "contrastive.weight=0"])
    found = plan(config, workload=Workload(height_px=56, width_px=84))
    assert "brings no processor" in found.said
    assert 8 * 6 < found.tokens < 8 * 6 + 400, "16 frames are 8 patches of 2 x 3 tokens, and a few short questions"


# --- by hand ---

SMALL = Workload(frames=4, height_px=32, width_px=32, questions=2, question_tokens=10, answer_tokens=3, caption_tokens=5, keyword_tokens=4, clips=160)
LARGEST = "Qwen/Qwen2.5-VL-3B-Instruct"


@pytest.fixture(scope="module")
def small(tiny_model):
    """`small(*overrides, stage=SftConfig)`: a recipe of a model whose four blocks of width 128 can be counted by hand."""

    def make(*overrides, stage=SftConfig):
        taps = ["contrastive.tap_blocks=[2]"] if stage is SftConfig else []
        return load(stage, None, [f"model.path={tiny_model}", "train=[]", "output=unused", *taps, *overrides])

    return make


@pytest.fixture(scope="module")
def alone(small) -> Plan:
    return plan(small("steps=20"), workload=SMALL)


def test_the_parts_of_a_published_model():
    config = load(SftConfig, None, [f"model.path={LARGEST}", "train=[]", "output=unused", "contrastive.weight=0", "batch_size=1"])
    found = plan(config, workload=replace(SMALL, height_px=56, width_px=56))
    parts = {part.name: part for part in found.parts}
    assert round(sum(part.parameters for part in found.parts) / 1e9, 2) == 3.75
    assert parts["token embeddings (also the head)"].parameters == 151936 * 2048
    assert parts["vision tower and projector"].trained == 0
    assert parts["decoder blocks"].trained == parts["decoder blocks"].parameters


def test_resting_memory_by_hand(alone):
    vision = alone.parts[0].parameters
    trained = sum(part.trained for part in alone.parts)
    assert alone.memory.weights == trained * 4 + vision * 2, "float32 where trained, bfloat16 where frozen"
    assert alone.memory.optimizer == trained * 4 * 2
    assert alone.memory.gathered == 0
    assert alone.epochs == 20 * 16 / 160


def test_fsdp2_shares_out_weights_gradients_and_optimizer(alone, small):
    found = plan(small(), num_gpus=8, workload=SMALL)
    assert found.spread.strategy == "fsdp2"
    assert found.memory.weights == alone.memory.weights / 8
    assert found.memory.optimizer == alone.memory.optimizer / 8
    assert found.memory.gathered > 0
    trained = sum(part.trained for part in found.parts)
    assert found.memory.gradients <= trained * FP32 / 8 * 1.01
    padding, other = (plan.operations["padding and masked pairs"] for plan in (found, alone))  # that of two clips together, not of sixteen
    assert found.flops_a_step - padding == pytest.approx(alone.flops_a_step - other)
    assert found.step_s / found.flops_a_step == pytest.approx(alone.step_s / alone.flops_a_step / 8)


def test_an_average_of_weights_and_lora(alone, small):
    averaged = plan(small("optim.ema_decay=0.999"), workload=SMALL)
    assert averaged.memory.optimizer == alone.memory.optimizer * 1.5
    low_rank = plan(small("model.lora_rank=8"), workload=SMALL)
    assert low_rank.parts[-1].name == "LoRA"
    assert low_rank.memory.optimizer == low_rank.parts[-1].trained * 8
    assert low_rank.flops_a_step < alone.flops_a_step


def test_operations_of_plain_fine_tuning_by_hand(small, tiny_model):
    found = plan(small("contrastive.weight=0", "batch_size=1", "model.gradient_checkpointing=false"), workload=SMALL)
    # 15 header tokens, 2 patches of 4 tokens and an end; two questions of 10 + 5 with 3 + 1, a caption prompt of 3 + 5 with 5 + 1
    tokens = 15 + 8 + 1 + 2 * (10 + 5 + 3 + 1) + 3 + 5 + 5 + 1
    text = json.loads((tiny_model / "config.json").read_text())["text_config"]
    weights = 4 * (128 * (2 * 128 + 2 * 64) + 3 * 128 * 384)
    assert found.tokens == tokens
    lengths = {"answers": 2 * 4 + 6}
    linear = 3 * (2 * weights * tokens + 2 * 128 * text["vocab_size"] * lengths["answers"])
    # a node sees itself causally and all before it: 24 of video, then two questions with answers and a caption
    pairs = 24 * 25 // 2 + 2 * (15 * 16 // 2 + 15 * 24 + 4 * 5 // 2 + 4 * 39) + (8 * 9 // 2 + 8 * 24 + 6 * 7 // 2 + 6 * 32)
    assert found.operations["questions and captions on V"] == linear + 3 * 4 * 4 * 128 * pairs
    assert found.operations["V', second view, keywords"] == 0


def test_micro_batches(small):
    found = plan(small("runtime.micro_tokens=700"), workload=SMALL)
    assert found.clips_a_micro_batch == int(700 / found.tokens)
    assert found.clips_a_micro_batch > 1
    assert found.micro_batches * found.clips_a_micro_batch >= 16
    trained = sum(part.trained for part in found.parts)
    assert found.memory.gradients == pytest.approx(trained * FP32, rel=1e-6), "accumulated gradients lie there all the time"


def test_sharing_saves_what_rows_repeat(tiny_model, rendered):
    config = tiny_config(tiny_model, rendered)
    found = plan(config, gpu=CPU)
    assert found.without_sharing > 2 * found.flops_a_step, "seven questions and a caption a clip, each with a video of its own"
    assert plain_flops.__doc__
    assert rows_flops.__doc__


def test_stage_2(small):
    config = small("sampling.num_generations=4", "sampling.max_new_tokens=16", "sampling.max_refeed=2", stage=GrpoConfig)
    found = plan(config, workload=SMALL)
    kinds = (
        "prefill on V",
        "prefill on V'",
        "decoding on V",
        "decoding on V'",
        "prefill of refeed",
        "decoding of refeed",
        "update",
        "padding and masked pairs",
    )
    assert tuple(found.operations) == kinds
    assert found.operations["decoding on V"] == pytest.approx(found.operations["decoding on V'"], rel=0.01)
    assert found.operations["decoding of refeed"] == pytest.approx(0.75 * found.operations["decoding on V"], rel=0.01), "half of the groups, then half of these"
    without = plan(replace(config, reward=replace(config.reward, comparator="none")), workload=SMALL)
    assert "decoding on V'" not in without.operations
    beta = plan(replace(config, beta=0.1), workload=SMALL)
    assert beta.memory.weights > found.memory.weights
    assert beta.operations["reference model"] > 0


def test_completions_decide_where_they_are_many(small):
    config = small("sampling.num_generations=64", "sampling.max_new_tokens=1024", "runtime.micro_tokens=1", stage=GrpoConfig)
    found = plan(config, workload=SMALL)
    assert found.memory.moment == "rollout"
    token_bytes = 4 * 2 * 2 * 32 * 2  # blocks, keys and values, heads, dimensions, bfloat16
    assert found.memory.cache > token_bytes * 8 * 2 * 64 * 1024
    elsewhere = plan(replace(config, engine=replace(config.engine, kind="server")), workload=SMALL)
    assert elsewhere.memory.moment == "update"
    assert elsewhere.step_s < found.step_s
    assert any("other machines" in said for said in elsewhere.assumptions)


# --- what to change ---


def test_each_change_is_planned_and_together_they_fit(alone, small):
    whole = plan(small("steps=20"), workload=SMALL).memory.total / 2**30
    tight = Gpu("tight", whole - 0.001, 100, 1, "a small GPU")
    setting = Setting(small("steps=20"), 1, SMALL)
    before = plan(setting.config, gpu=tight, workload=SMALL)
    assert not before.fits
    singles = changes(setting, before, least_gib=0.0)
    assert [c.saved_gib for c in singles] == sorted((c.saved_gib for c in singles), reverse=True)
    low_rank = next(c for c in singles if c.typed == "model.lora_rank=16")
    assert low_rank.found.memory.total == plan(small("steps=20", "model.lora_rank=16"), gpu=tight, workload=SMALL).memory.total
    together = first_that_fit(setting, before)
    assert together[-1].found.fits
    assert not together[-2].found.fits if len(together) > 1 else True


def test_nothing_helps_on_a_tiny_gpu(small):
    impossible = Gpu("watch", 0.5, 1, 1, "a watch")
    setting = Setting(small(), 1, SMALL)
    assert first_that_fit(setting, plan(setting.config, gpu=impossible, workload=SMALL)) == []


# --- bad input ---


def test_mistakes_are_named(tiny_model, small):
    with pytest.raises(ConfigError, match="did you mean 'a100-80'"):
        gpu_of("a100-8")
    assert gpu_of("RTX_4090".replace("_", "")).name == "rtx4090"
    with pytest.raises(ConfigError, match=r"did you mean 'Qwen/Qwen2\.5-VL-7B-Instruct'"):
        plan(small("model.path=Qwen/Qwen2.5-VL-7B-Instrut"))
    with pytest.raises(ConfigError, match=r"a folder with a config\.json"):
        plan(small("model.path=/nowhere"))
    with pytest.raises(ConfigError, match="share of the GPU's peak"):
        plan(small(), utilisation=1.5)
    with pytest.raises(ConfigError, match="at least one clip for each"):
        plan(small("batch_size=4"), num_gpus=8)
    with pytest.raises(ConfigError, match="frames is 0"):
        Workload(frames=0)


def test_a_model_of_another_family_is_refused(tmp_path, small):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ConfigError, match=r"of type 'llama'; plan knows qwen2_5_vl, qwen3_vl"):
        plan(small(f"model.path={tmp_path}"))


# --- the command ---


def invoke(*arguments):
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_the_command_tells_and_counts(tiny_model, rendered, tmp_path):
    recipe = tmp_path / "sft.yaml"
    recipe.write_text(f"model: {{path: {tiny_model}, dtype: float32}}\ncontrastive: {{tap_blocks: [2]}}\ntrain: [{rendered}]\nbatch_size: 4\n")
    told = invoke(recipe, *WORDS)
    assert told.exit_code == 0, told.output
    for said in ("Parameters", "Memory of one GPU", "Operations of a step", "It fits", "Assumed, not measured"):
        assert said in told.output
    found = json.loads(invoke(recipe, *WORDS, "--json").stdout)
    assert found["stage"] == "sft"
    assert found["fits"] is True
    assert found["flops"] == found["flops_a_step"] * 1000
    assert found["gpu_hours"] == pytest.approx(found["step_s"] * 1000 / 3600)


def test_the_command_knows_the_stage_and_names_mistakes(tiny_model, tmp_path):
    anything = tmp_path / "mine.yaml"
    anything.write_text(f"model: {{path: {tiny_model}, dtype: float32}}\nsampling: {{num_generations: 2, max_new_tokens: 2}}\nbatch_size: 1\n")
    found = invoke(anything, "--json", "--frames", "4", "--size", "16x16", "--questions", "1")
    assert json.loads(found.stdout)["stage"] == "grpo", found.output
    for text, arguments, said in (
        ("sampling: {num_generation: 2}", (), "did you mean 'num_generations'"),
        ("batch_size: 1", (), "put 'sft' or 'grpo' into its file name"),
        (f"captions: true\nmodel: {{path: {tiny_model}}}", ("--size", "big"), "expected height x width"),
        (f"captions: true\nmodel: {{path: {tiny_model}}}", ("--gpu", "h10"), "did you mean 'h100'"),
    ):
        anything.write_text(text + "\n")
        failed = invoke(anything, *arguments)
        assert failed.exit_code == 2
        assert said in " ".join(failed.output.split())
