"""Every shipped recipe loads, and says where it comes from."""

import dataclasses
from pathlib import Path

import pytest

from videoperceiver import stages
from videoperceiver.config import dump, load
from videoperceiver.errors import ConfigError

ROOT = Path(__file__).parents[1] / "recipes"
RECIPES = sorted(ROOT.rglob("*.yaml"))
STAGES = {"data": stages.DataConfig, "sft": stages.SftConfig, "grpo": stages.GrpoConfig, "evaluate": stages.EvaluateConfig}
REQUIRED = {
    "data": ["source=clips", "output=run"],
    "sft": ["train=[manifest.parquet]", "output=run", "model.path=model"],
    "grpo": ["train=[manifest.parquet]", "output=run", "model.path=model"],
    "evaluate": ["manifest=manifest.parquet", "output=run", "model.path=model"],
}


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_there_are_recipes_for_every_stage():
    assert {path.stem for path in RECIPES if path.parent.name == "tiny"} == STAGES.keys()


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_is_named_after_its_stage_and_loads(path, tmp_path):
    config = load(STAGES[path.stem], path, REQUIRED[path.stem])
    (tmp_path / "config.yaml").write_text(dump(config))
    assert load(STAGES[path.stem], tmp_path / "config.yaml") == config


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_begins_with_what_it_is_its_source_and_its_hardware(path):
    header = " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert path.read_text().startswith("# ")
    if path.stem in ("sft", "grpo"):
        assert "Source: " in header
        assert "Hardware: " in header


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_without_its_required_fields_says_which(stage):
    with pytest.raises(ConfigError, match=r"field '(source|output|train|manifest|model\.path)' is required"):
        load(STAGES[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_at_most_25_fields(stage):
    assert len(dataclasses.fields(STAGES[stage])) <= 25
