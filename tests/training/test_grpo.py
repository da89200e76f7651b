"""The stage as a whole: runs, resumption, what is logged, and what it does with bad input in the middle of a step."""

import json
import logging
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tests.training.groups import NAN, config_of, group_of, scores_of, trainer_of

from videoperceiver.data import manifest
from videoperceiver.errors import ConfigError, EngineError, RunError
from videoperceiver.runs import Run
from videoperceiver.training import grpo
from videoperceiver.training.advantages import Advantages
from videoperceiver.training.engines.tree import TreeEngine

EVERYTHING = [
    "uniform_weight=0.1",
    "beta=0.05",
    "num_iterations=2",
    "counterfactual.vneg_weight=0.5",
    "counterfactual.kl_weight=0.1",
    "counterfactual.evidence_strength=1",
    "sampling.no_signal=resample",
    "sampling.stream=question",
    "watch.samples_every=2",
    "watch.window=2",
]


@pytest.fixture(scope="module")
def whole(tiny_model, rendered, tmp_path_factory):
    """A run with every switch on."""
    return grpo.run(config_of(tiny_model, rendered, tmp_path_factory.mktemp("runs") / "whole", *EVERYTHING))


def weights(run):
    return load_file(run.folder / "model" / "model.safetensors")


def said_of(run, *names):
    return [[row[f"grpo/{name}"] for name in names] for row in run.metrics()]


def stop_at(monkeypatch, number, error=KeyboardInterrupt):
    step = grpo.Trainer.step

    def stopped(self, at):
        if at == number:
            raise error
        return step(self, at)

    monkeypatch.setattr(grpo.Trainer, "step", stopped)
    return lambda: monkeypatch.setattr(grpo.Trainer, "step", step)


def test_a_run_that_was_stopped_ends_in_the_same_weights(whole, tiny_model, rendered, tmp_path, monkeypatch):
    config = config_of(tiny_model, rendered, tmp_path / "cut", *EVERYTHING)
    go_on = stop_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        grpo.run(config)
    go_on()
    cut = grpo.run(config)
    first, second = weights(whole), weights(cut)
    assert all(torch.equal(first[name], second[name]) for name in first)
    names = [name for name in whole.metrics()[-1] if name.startswith("grpo/") and not name.endswith("_s")]
    assert [[row[name] for name in names] for row in whole.metrics()] == [[row[name] for name in names] for row in cut.metrics()]
    assert (cut.folder / "samples.jsonl").read_text() == (whole.folder / "samples.jsonl").read_text()


def test_everything_of_method_section_3_is_logged(whole):
    logged = {name.removeprefix("grpo/") for name in whole.metrics()[-1]}
    assert {"q", "q_degraded", "both_right", "both_wrong", "comparative", "unscored", "refeed_rate", "refeed_gain", "baseline", "kl", "ratio"} <= logged
    assert {"clip_fraction", "entropy", "length", "no_signal", "skipped", "redrawn", "without_twin", "failed_rewards", "skipped_steps", "mismatch"} <= logged
    assert {"loss", "uniform", "capped_kl", "vneg", "grad_norm", "lr", "kept", "base_reward", "warn_hacking", "warn_entropy", "warn_length"} <= logged
    assert {"vision_s", "rollout_full_s", "rollout_degraded_s", "reward_s", "update_s", "wait_s", "other_s", "step_s"} <= logged


def test_the_judge_of_open_answers_is_named(whole):
    assert json.loads((whole.folder / "metadata.json").read_text())["open_answers"] == "proxy: shared words, no NLI model"
    assert json.loads((whole.folder / "metadata.json").read_text())["stage"] == "grpo"


def test_the_time_of_a_step_is_shared_out_whole(whole):
    for row in whole.metrics():
        phases = ["vision_s", "rollout_full_s", "rollout_degraded_s", "reward_s", "update_s", "wait_s", "other_s"]
        assert sum(row[f"grpo/{name}"] for name in phases) == pytest.approx(row["grpo/step_s"])
        assert all(row[f"grpo/{name}"] > 0 for name in phases)


def test_samples_show_both_videos_side_by_side(whole):
    rows = [json.loads(line) for line in (whole.folder / "samples.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 0, 2, 2]
    for row in rows:
        assert list(row) == ["step", "sample", "question", "reference", "full", "degraded", "quality", "quality_degraded", "tries"]
        assert len(row["full"]) == len(row["quality"]) == len(row["tries"]) == 4
        assert len(row["degraded"]) in (0, 4)
        assert all(value is None or 0 <= value <= 1 for value in row["quality"])


def test_kl_needs_and_uses_the_reference(tiny_model, rendered, tmp_path):
    run = grpo.run(config_of(tiny_model, rendered, tmp_path / "run", "beta=0.1", "steps=2"))
    first, second = (row["grpo/kl"] for row in run.metrics())
    assert first == pytest.approx(0, abs=1e-6)
    assert second > first


def test_a_second_update_moves_away_from_the_rollouts(tiny_model, rendered, tmp_path):
    once, twice = (grpo.run(config_of(tiny_model, rendered, tmp_path / f"{n}", f"num_iterations={n}", "steps=1", "optim.lr=3e-3")) for n in (1, 2))
    [[ratio, clipped]], [[ratio_2, clipped_2]] = (said_of(run, "ratio", "clip_fraction") for run in (once, twice))
    assert (ratio, clipped) == (pytest.approx(1.0, abs=1e-5), 0.0)
    assert ratio_2 != pytest.approx(1.0, abs=1e-3)
    assert clipped_2 > 0


@pytest.mark.parametrize("operator", ["shuffle", "reverse", "random"])
def test_v_prime_may_be_made_by_another_operator(tiny_model, rendered, tmp_path, operator):
    trainer = trainer_of(config_of(tiny_model, rendered, tmp_path / "run", f"counterfactual.operator={operator}"))
    with trainer_loader(trainer):
        prompts = trainer._prompts(0, grpo.runtime.step_rng(0, 0))
    for prompt in prompts:
        assert prompt.sample.degradation is None or prompt.sample.degradation.operator == operator


def trainer_loader(trainer):
    trainer.loader = grpo.ClipLoader(trainer.store, trainer._share, first=0, last=4, settings=trainer.config.runtime)
    return trainer.loader


# nothing to learn from


def test_a_step_whose_groups_tell_nothing_changes_no_weight_and_is_counted(tiny_model, rendered, tmp_path):
    """Even where the optimizer's momentum would move the weights on a gradient of 0."""
    config = config_of(tiny_model, rendered, tmp_path / "run", "reward.objective=grpo", "engine.max_mismatch=100")  # nobody drew these completions
    trainer = trainer_of(config)
    trainer.policy.optimizer = torch.optim.AdamW(trainer.policy.backbone.parameters(), lr=0.1)
    groups = [group_of(trainer.store, [1.0, 0.0, 0.0, 0.0], [0.0] * 4)]
    given = grpo.advantages(scores_of(groups), config, trainer.baseline)
    assert trainer._update(groups, scores_of(groups), given, 0)["loss"] is not None
    before = [p.detach().clone() for p in trainer.policy.backbone.parameters()]
    for number, (q, expected) in enumerate([([1.0] * 4, 1), ([0.0] * 4, 2), ([NAN] * 4, 3)]):
        groups = [group_of(trainer.store, q, [NAN] * 4)]
        given = grpo.advantages(scores_of(groups), config, trainer.baseline)
        logged = trainer._update(groups, scores_of(groups), given, number)
        assert logged["skipped_steps"] == expected
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.policy.backbone.parameters(), strict=True))


def test_v_prime_terms_and_kl_teach_where_rewards_do_not(tiny_model, rendered, tmp_path):
    for i, term in enumerate(["uniform_weight=0.1", "counterfactual.kl_weight=0.1", "beta=0.1"]):
        trainer = trainer_of(config_of(tiny_model, rendered, tmp_path / f"{i}", "reward.objective=grpo", "engine.max_mismatch=100", term))
        groups = [group_of(trainer.store, [1.0] * 4, [0.0] * 4)]
        logged = trainer._update(groups, scores_of(groups), Advantages(torch.zeros(1, 4), None, {}), 0)
        assert logged["skipped_steps"] == 0
        assert torch.isfinite(torch.tensor(logged["loss"]))


def test_a_run_of_equal_rewards_ends_with_finite_numbers(tiny_model, rendered, tmp_path, monkeypatch):
    def flat(self, completions, questions):
        return torch.ones(len(completions))

    monkeypatch.setattr(grpo.Quality, "__call__", flat)
    base = rule(tmp_path, "return 1.0")
    run = grpo.run(config_of(tiny_model, rendered, tmp_path / "run", "reward.objective=grpo", base, "sampling.no_signal=skip", "steps=2"))
    [[skipped, steps], [_, last]] = said_of(run, "skipped", "skipped_steps")
    assert (skipped, steps, last) == (1.0, 1.0, 2.0)
    start = trainer_of(config_of(tiny_model, rendered, tmp_path / "start")).policy.backbone.state_dict()
    assert all(torch.equal(weight, start[f"model.{name}"]) for name, weight in weights(run).items() if f"model.{name}" in start)


# bad input


def rule(folder, body):
    """A recipe's only reward rule."""
    (folder / "rules.py").write_text(f"def rule(completion, question):\n    {body}\n")
    return f"reward.base={{'{folder / 'rules.py'}:rule': 1.0}}"


def test_a_reward_rule_that_raises_costs_its_completion_and_too_many_stop_the_run(tiny_model, rendered, tmp_path):
    base = rule(tmp_path, "if len(completion) % 2:\n        raise ValueError('odd')\n    return 1.0")
    run = grpo.run(config_of(tiny_model, rendered, tmp_path / "borne", base, "max_reject_rate=1", "steps=2"))
    rows = [row for row in run.rejects() if row["kind"] == "RewardError"]
    assert rows
    assert "raised ValueError: odd" in rows[0]["reason"]
    assert sum(row["grpo/failed_rewards"] for row in run.metrics()) > 0
    with pytest.raises(
        RunError, match=r"reward rules failed on \d+ of \d+ completions, more than max_reject_rate=0.05 allows. For instance: .*ValueError: odd"
    ):
        grpo.run(config_of(tiny_model, rendered, tmp_path / "stopped", base, "steps=2"))


def test_a_reference_that_cannot_be_read_is_a_bad_sample(tiny_model, rendered, tmp_path):
    samples = manifest.read(rendered)
    question = replace(samples[0].questions[0], answer="seven or eight", kind="number", options=())
    folder = rendered.parent
    manifest.write([replace(samples[0], questions=(question,)), *samples[1:]], folder / "bad.parquet")
    run = grpo.run(config_of(tiny_model, folder / "bad.parquet", tmp_path / "run", "steps=5", "questions_per_clip=1", "max_reject_rate=0.2"))
    [row] = run.rejects()
    assert row["sample_id"] == samples[0].id
    assert question.id in row["reason"]


class Broken(TreeEngine):
    """The tree generator, until step 2: then what the test asked for."""

    def __init__(self, backbone, fault):
        super().__init__(backbone)
        self.fault, self.synced = fault, 0
        self.name = "broken"

    def sync(self, backbone):
        self.synced += 1
        super().sync(backbone)

    def sample(self, *args, **kwargs):
        drawn = super().sample(*args, **kwargs)
        return self.fault(drawn) if self.synced == 2 else drawn


def died(drawn):
    raise EngineError("broken", "it closed the connection in the middle of an answer; look at its log and start it again")


def foreign(drawn):
    """Completions of another policy: log-probabilities 3 nats off."""
    return [[[replace(c, logps=c.logps - 3) for c in leaf] for leaf in tree] for tree in drawn]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (died, "closed the connection in the middle"),
        (foreign, r"differ from the trainer's by 3 nats a token in step 2, more than engine.max_mismatch=0.5: it holds other weights"),
    ],
)
def test_an_engine_that_fails_in_mid_run_leaves_a_checkpoint_to_go_on_from(tiny_model, rendered, tmp_path, monkeypatch, fault, message):
    config = config_of(tiny_model, rendered, tmp_path / "run", "sampling.max_refeed=0", "steps=3")
    monkeypatch.setattr(grpo, "open_engine", lambda settings, backbone, **_: Broken(backbone, fault))
    with pytest.raises(EngineError, match=message):
        grpo.run(config)
    assert len(Run.open(config.output).metrics()) == 2  # the third step wrote nothing
    monkeypatch.setattr(grpo, "open_engine", lambda settings, backbone, **_: Broken(backbone, lambda drawn: drawn))
    mended = grpo.run(config)
    if fault is died:  # once is enough: what follows is the same
        assert mended.finished
        return
    whole = grpo.run(replace(config, output=str(tmp_path / "whole")))
    assert all(torch.equal(a, b) for a, b in zip(weights(mended).values(), weights(whole).values(), strict=True))


def test_another_engine_gets_the_weights_after_every_update_and_streams_by_question(tiny_model, rendered, tmp_path, monkeypatch):
    engines = []

    def opened(settings, backbone, **_):
        engines.append(Broken(backbone, lambda drawn: drawn))
        return engines[-1]

    monkeypatch.setattr(grpo, "open_engine", opened)
    run = grpo.run(config_of(tiny_model, rendered, tmp_path / "run", "steps=2"))
    assert engines[0].synced == 2
    monkeypatch.undo()
    own = grpo.run(config_of(tiny_model, rendered, tmp_path / "own", "steps=1", "sampling.stream=question"))
    assert said_of(run, "q", "q_degraded", "refeed_rate")[0] == said_of(own, "q", "q_degraded", "refeed_rate")[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["counterfactual.vneg_weight=0.5", "reward.comparator=expected"], "counterfactual.vneg_weight: 0.5 .* reward.comparator=expected draws none"),
        (["counterfactual.evidence_strength=1", "reward.comparator=none"], "counterfactual.evidence_strength: 1 compares"),
        (["reward.objective=t_grpo", "reward.comparator=none"], "reward.objective: t_grpo compares"),
        (["num_iterations=0"], "num_iterations: got 0"),
        (["counterfactual.kl_weight=1", "counterfactual.kl_cap=0"], "counterfactual.kl_cap: got 0"),
        (["reward.base={lenght: 1.0}"], "did you mean 'length'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_before_anything_runs(tiny_model, rendered, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        trainer_of(config_of(tiny_model, rendered, tmp_path / "run", *overrides))


def test_warnings_are_said_once_and_kept_in_the_metrics(tiny_model, rendered, tmp_path, monkeypatch, caplog):
    lengths = iter([2.0] * 2 + [9.0] * 4)
    step = grpo.Trainer.step

    def longer(self, number):
        metrics, groups = step(self, number)
        return metrics | {"length": next(lengths)}, groups

    monkeypatch.setattr(grpo.Trainer, "step", longer)
    with caplog.at_level(logging.WARNING):
        run = grpo.run(config_of(tiny_model, rendered, tmp_path / "run", "steps=6", "watch.window=2"))
    assert [row["grpo/warn_length"] for row in run.metrics()] == [0, 0, 0, 1, 1, 1]
    assert len(re.findall("completions went from 2.0 to 9.0 tokens", caplog.text)) == 1
