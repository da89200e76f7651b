"""Stage 1: its loss against the terms computed apart, what each switch adds, resume bit for bit, bad samples, instructed prompts."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.recipe import RECIPE

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import sft_tree
from videoperceiver.errors import ModelError, RunError
from videoperceiver.losses.contrastive import contrastive_losses, keyword_ids
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.stages import SftConfig
from videoperceiver.training import sft
from videoperceiver.training.sft_loss import sft_loss

WORDS = ["instruction=Re-answer with attention to fine-grained visual details .", "caption_prompt=describe the video ."]


def config_of(model, data, output, *overrides) -> SftConfig:
    fields = [f"model.path={model}", f"train=[{data}]", f"output={output}", "contrastive.tap_blocks=[2]", *RECIPE, *WORDS, *overrides]
    return load(SftConfig, None, fields)


def grow(config, model, count=4):
    torch.manual_seed(0)
    backbone = Backbone.load(model, freeze_vision=False)  # evaluation mode: no dropout, so that passes can be compared
    store = ClipStore(config.train, backbone.adapter.fit)
    rng = np.random.default_rng(0)
    chosen = [*store.samples[: count - 1], store.samples[-1]]  # the last has no V'
    return backbone, store, [sft_tree(backbone, s, store.clip(s), sft.sft_layout(config), rng) for s in chosen]


def test_the_loss_is_the_sum_of_terms_computed_apart(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "events.weight=0.7", "uniform_weight=0.3", "joint_weight=0.2", "instruction_share=0")
    backbone, store, grown = grow(config, tiny_model)
    output = backbone([g.tree for g in grown], tap_blocks=(2,))
    loss, metrics = sft_loss(grown, output, config)

    answer_nll, event_nll, taps, uniform = _apart(backbone, store, grown)
    has_degraded = torch.tensor([g.sample.degradation is not None for g in grown])
    assert has_degraded.tolist() == [True, True, True, False]
    contrastive = contrastive_losses(
        *(torch.stack(taps[name]) for name in ("full", "view", "degraded", "text")),
        has_degraded=has_degraded,
        has_text=torch.ones(4, dtype=torch.bool),
        tau=0.07,
        ids=keyword_ids([g.sample.keywords for g in grown]),
    ).total()
    assert metrics["ce"] == pytest.approx(answer_nll, rel=1e-4)
    assert metrics["ce_events"] == pytest.approx(event_nll, rel=1e-4)
    assert metrics["contrastive"] == pytest.approx(contrastive.item(), rel=1e-3)
    assert metrics["uniform"] == pytest.approx(uniform, rel=1e-4)
    assert loss.item() == pytest.approx(answer_nll + 0.7 * event_nll + 0.1 * contrastive.item() + 0.3 * uniform + 0.2 * metrics["joint"], rel=1e-3)


@torch.no_grad()
def _apart(backbone, store, grown):
    """Cross-entropy, taps and the uniform term from one row a question and one pass a video: no tree shared anything."""
    logps, about_event, taps, uniform = [], [], {"full": [], "view": [], "degraded": [], "text": []}, []
    for g in grown:
        sample, clip = g.sample, store.clip(g.sample)
        asked = [*((q.text, q.answer, not q.static) for q in sample.questions), ("describe the video .", sample.caption, False)]
        for text, answer, event in asked:
            b = TreeBuilder(backbone, clip)
            b.answer(b.question(b.video(), text), answer)
            logps.append(backbone([b.tree()]).logps)
            about_event += [logps[-1]] if event else []
        b = TreeBuilder(backbone, clip)
        b.video(tap=True)
        full = backbone([b.tree()], tap_blocks=(2,)).taps[2][0]
        taps["full"].append(full)
        taps["view"].append(full)  # no dropout in evaluation mode
        k = TreeBuilder(backbone, clip)
        k.text(" ; ".join(sample.keywords))
        taps["text"].append(backbone([k.tree()], tap_blocks=(2,)).taps[2][0])
        if sample.degradation is None:
            taps["degraded"].append(torch.zeros_like(full))
            continue
        shown = replace(clip, frames=clip.frames[list(sample.degradation.source_idx)])
        d = TreeBuilder(backbone, shown)
        d.video(tap=True)
        taps["degraded"].append(backbone([d.tree()], tap_blocks=(2,)).taps[2][0])
        for q in (q for q in sample.questions if not q.static):
            d = TreeBuilder(backbone, shown)
            node = d.answer(d.question(d.video(), q.text), q.answer, distribution=True)
            row = backbone([d.tree()]).distributions[0, node][0]
            uniform.append(-np.mean([float(row[backbone.encode_text(option)[0]]) for option in q.options]))
    return -torch.cat(logps).mean().item(), -torch.cat(about_event).mean().item(), taps, float(np.mean(uniform))


def test_static_questions_and_samples_without_a_twin_have_no_evidence_term(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "uniform_weight=0.3")
    _, _, grown = grow(config, tiny_model)
    assert [len(g.evidence) for g in grown] == [sum(not q.static for q in g.sample.questions) for g in grown[:3]] + [0]
    assert grown[3].degraded is None
    assert any(q.static for q in grown[0].sample.questions)


def test_plain_fine_tuning_grows_nothing_for_the_other_terms(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "contrastive.weight=0")
    backbone, _, grown = grow(config, tiny_model)
    assert all(g.full is None and g.degraded is None and g.text is None and not g.evidence for g in grown)
    assert not any(node.tap or node.depth for g in grown for node in g.tree.nodes)
    _, metrics = sft_loss(grown, backbone([g.tree for g in grown]), config)
    assert metrics.keys() == {"loss", "ce"}


def test_the_instruction_is_in_its_share_of_questions(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "instruction_share=0.5", "captions=false", "contrastive.weight=0")
    backbone, store, _ = grow(config, tiny_model)
    instruction = backbone.encode_text(" " + config.instruction)
    trees = [sft_tree(backbone, s, store.clip(s), sft.sft_layout(config), np.random.default_rng(i)).tree for i, s in enumerate(store.samples)]
    asked = [node.input_ids for tree in trees for node in tree.nodes if node.labels is None and node.patches is None]
    share = np.mean([set(instruction) <= set(ids) for ids in asked])
    assert 0.25 < share < 0.75  # 60 questions at one half: five standard deviations


def test_a_run_that_was_stopped_ends_in_the_same_weights(tiny_model, rendered, tmp_path, monkeypatch):
    whole = sft.run(config_of(tiny_model, rendered, tmp_path / "whole"))
    config, step = config_of(tiny_model, rendered, tmp_path / "cut"), sft.Trainer.step

    def stopped(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(sft.Trainer, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        sft.run(config)
    monkeypatch.setattr(sft.Trainer, "step", step)
    cut = sft.run(config)
    assert cut.finished
    first, second = (load_file(run.folder / "model" / "model.safetensors") for run in (whole, cut))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    same = [[{k: v for k, v in row.items() if not k.endswith(("_s", "_share"))} for row in run.metrics()] for run in (whole, cut)]
    assert same[0] == same[1]
    assert [row["step"] for row in same[0]] == [0, 1, 2, 3]


def test_a_finished_run_is_not_done_again(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "steps=1")
    weights = sft.run(config).folder / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert sft.run(config).finished
    assert weights.stat().st_mtime_ns == before


def test_a_bad_clip_is_recorded_and_the_run_goes_on(tiny_model, rendered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(rendered.parent, folder)
    bad = manifest.read(folder / "manifest.parquet")[0]
    (folder / bad.video).write_bytes(b"not a video")
    run = sft.run(config_of(tiny_model, folder / "manifest.parquet", tmp_path / "run", "max_reject_rate=0.2", "batch_size=10", "steps=2"))
    [reject] = run.rejects()
    assert reject["path"].endswith(bad.video)
    assert [row["sft/clips"] for row in run.metrics()] == [9, 9]
    with pytest.raises(RunError, match="max_reject_rate"):
        sft.run(config_of(tiny_model, folder / "manifest.parquet", tmp_path / "strict", "max_reject_rate=0", "batch_size=10", "steps=2"))


def test_too_many_bad_clips_stop_the_run_with_a_table(tiny_model, rendered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(rendered.parent, folder)
    bad = manifest.read(folder / "manifest.parquet")[:3]
    for sample in bad:
        (folder / sample.video).write_bytes(b"not a video")
    with pytest.raises(RunError, match=r"3 of 10 samples are bad, more than max_reject_rate=0\.2 allows") as failed:
        sft.run(config_of(tiny_model, folder / "manifest.parquet", tmp_path / "run", "max_reject_rate=0.2", "batch_size=10", "steps=2"))
    table = str(failed.value).splitlines()
    assert table[1] == "samples  reason"
    assert table[2].split()[1] == "VideoReadError:"
    assert any(f"(e.g. {sample.id})" in line for line in table[2:] for sample in bad)


def test_a_loss_that_explodes_names_the_samples_and_leaves_a_checkpoint(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run", "optim.lr=1e30", "optim.warmup_share=0.5", "checkpoint_every=1", "batch_size=10")
    with pytest.raises((RunError, ModelError), match=r"not finite|is nan|is inf") as failed:
        sft.run(config)
    assert manifest.read(rendered)[0].id in str(failed.value)
    assert (tmp_path / "run" / "checkpoints" / "step-00000001" / "state.json").is_file()


def test_random_operator_replaces_as_many_frames(tiny_model, rendered):
    sample = manifest.read(rendered)[0]
    clip = ClipStore([rendered], lambda frames: frames).clip(sample)
    drawn = sft.with_operator(sample, clip, "random", seed=3)
    assert drawn.degradation.operator == "random"
    assert drawn.degradation != sample.degradation
    assert sft.with_operator(sample, clip, "", seed=3) is sample


def test_metrics_are_json_lines(tiny_model, rendered, tmp_path):
    run = sft.run(config_of(tiny_model, rendered, tmp_path / "run", "steps=1"))
    [row] = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {"sft/loss", "sft/ce", "sft/vv", "sft/tv", "sft/vt", "sft/t2v_r1", "sft/text_prefers_v", "sft/grad_norm", "sft/lr", "sft/wait_s"} <= row.keys()
    shares = {name: row[f"sft/{name}_share"] for name in ("wait", "vision", "llm", "contrastive")}
    assert min(shares.values()) > 0
    assert sum(shares.values()) == pytest.approx(1)
    assert row["sft/clips_per_s"] == pytest.approx(row["sft/clips"] / row["sft/step_s"])
    assert row["sft/video_tokens_per_s"] == pytest.approx(row["sft/video_tokens"] / row["sft/step_s"])
