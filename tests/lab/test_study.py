"""Studies: the shipped ones load, what does not fit is refused with its field's name, seeds and chains."""

from pathlib import Path

import pytest

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.errors import ConfigError
from videoperceiver.lab import worlds
from videoperceiver.lab.ablate import units
from videoperceiver.lab.arms import Unit
from videoperceiver.lab.study import StudyConfig

RECIPES = Path(__file__).parents[2] / "recipes" / "lab"


def study(tmp_path, text, overrides=()):
    (tmp_path / "study.yaml").write_text(text)
    return load(StudyConfig, tmp_path / "study.yaml", overrides)


@pytest.mark.parametrize("name", ["full", "quick", "tune", "longer"])
def test_shipped_studies_load_and_their_claims_name_their_arms(name):
    config = load(StudyConfig, RECIPES / f"{name}.yaml")
    assert {claim.arm for claim in config.claims} | {claim.against for claim in config.claims} <= {*config.arms}
    assert all(set(config.seeds(arm)) <= set(config.seeds()) for arm in config.arms)


def test_headline_claims_have_ten_seeds_and_a_control_at_equal_cpu():
    config = load(StudyConfig, RECIPES / "full.yaml")
    for claim in config.claims:
        if claim.family in ("stage 1", "stage 2"):
            assert len(config.seeds(claim.arm)) == 10
            assert len(config.seeds(claim.against)) == 10
    assert {"plain", "plain-cpu"} <= {claim.against for claim in config.claims if claim.arm == "full"}
    assert {"plain", "event", "event-cpu"} <= {claim.against for claim in config.claims if claim.arm == "lean"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms: {a: {start: b}}", r"arms\.a\.start: got 'b', expected one of backbone, a"),
        ("arms: {a: {data: nowhere}}", r"arms\.a\.data: got 'nowhere', expected one of bright"),
        ("arms: {a: {start: b}, b: {start: a}}", r"is a circle"),
        ("claims: [{says: x, arm: a, against: backbone}]", r"claims: arm: got 'a'"),
        ("tests: {nowhere: [full]}", r"tests: got 'nowhere'"),
        ("sets: {a: {operator: helsewhere}}", r"operator 'helsewhere' is unknown.*elsewhere"),
        ("arms: {a: {stage: other}}", r"field 'arms.a.stage' expects .*got 'other'"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        study(tmp_path, text)


def test_units_run_block_by_block_and_seed_by_seed(tmp_path):
    config = study(tmp_path, "num_seeds: 2\narms: {late: {block: 2, num_seeds: 1, start: one}, one: {}, two: {}}")
    found = [(unit.arm, unit.seed) for unit in units(config)]
    assert found == [("backbone", 0), ("one", 0), ("two", 0), ("backbone", 1), ("one", 1), ("two", 1), ("late", 0)]
    assert config.chain("late") == ["one", "late"]
    assert [unit.arm for unit in units(config, only=["late"])] == ["backbone", "one", "backbone", "one", "late"]


def test_sets_of_a_seed_share_the_demos_seeds(tmp_path):
    config = study(tmp_path, "sets: {other: {num_clips: 7, split: train, cue: independent}, more: {}}")
    made = config.set_arguments(3)
    assert made["other"]["seed"] == made["train"]["seed"] == 14  # the same events, other cues
    assert made["more"]["seed"] == made["conflict"]["seed"] == 3
    assert Unit("a", 1) != Unit("a", 2)


def test_half_the_frame_rate_keeps_every_second_frame(tmp_path):
    arguments = {"num_clips": 2, "seed": 0, "split": "test", "difficulty": "faint"}
    worlds.render_sets(tmp_path, {"all": arguments, "half": arguments | {"every": 2}}, 1)
    whole, half = (manifest.read(worlds.samples_path(tmp_path, name)) for name in ("all", "half"))
    assert [sample.t_s for sample in half] == [sample.t_s[::2] for sample in whole]
    assert [sample.sha256 for sample in half] == [sample.sha256 for sample in whole]


def test_a_set_says_how_its_twins_are_made(tmp_path):
    sets = {"held": {"num_clips": 2, "seed": 0, "split": "test", "difficulty": "faint", "operator": "elsewhere"}}
    worlds.render_sets(tmp_path, sets, 1)
    worlds.build_sets(tmp_path, sets, 1)
    for sample in manifest.read(worlds.manifest_path(tmp_path, "held")):
        assert sample.degradation.operator == "elsewhere"
        shown = {i for i, t in enumerate(sample.t_s) if any(span.start_s <= t <= span.end_s for span in sample.spans)}
        assert len(sample.degradation.replaced_idx) == len(shown)
        assert not shown & set(sample.degradation.replaced_idx)
