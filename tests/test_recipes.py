"""Every shipped recipe loads, says where it comes from, is planned on the meta device, and runs: one real step of a tiny model with its options."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from videoperceiver import stages
from videoperceiver.config import dump, load
from videoperceiver.errors import ConfigError
from videoperceiver.models.published import PUBLISHED

ROOT = Path(__file__).parents[1] / "recipes"
STAGES = {"data": stages.DataConfig, "sft": stages.SftConfig, "grpo": stages.GrpoConfig, "evaluate": stages.EvaluateConfig}
RECIPES = sorted(path for path in ROOT.rglob("*.yaml") if path.stem in STAGES)
LARGE = [path for path in RECIPES if "tiny" not in path.parts]
TRAINED = [path for path in LARGE if path.stem in ("sft", "grpo")]
REQUIRED = {
    "data": ["source=clips", "output=run"],
    "sft": ["train=[manifest.parquet]", "output=run"],
    "grpo": ["train=[manifest.parquet]", "output=run"],
    "evaluate": ["manifest=manifest.parquet", "output=run"],
}
SWEEPS = {"layers.txt": "sft", "frame_rates.txt": "data"}


def name(path):
    return path.relative_to(ROOT).as_posix()


def loaded(path, *overrides):
    tiny = ["model.path=model"] if "tiny" in path.parts and path.stem != "data" else []
    return load(STAGES[path.stem], path, [*REQUIRED[path.stem], *tiny, *overrides])


@pytest.mark.parametrize("folder", ["tiny", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-8b"])
def test_there_are_recipes_for_every_stage(folder):
    assert {path.stem for path in RECIPES if path.parent.name == folder} == STAGES.keys()


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_is_named_after_its_stage_and_loads(path, tmp_path):
    config = loaded(path)
    (tmp_path / "config.yaml").write_text(dump(config))
    assert load(STAGES[path.stem], tmp_path / "config.yaml") == config


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_begins_with_what_it_is_its_source_and_its_hardware(path):
    header = " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert path.read_text().startswith("# ")
    if path.stem in ("sft", "grpo"):
        assert "Source: " in header
        assert "Hardware: " in header
    if path in LARGE:
        assert "Command: " in header
        assert name(path) in header, "the command names the recipe itself"
    if path in TRAINED:
        assert "none measured" in header, "no number that nobody saw"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_without_its_required_fields_says_which(stage):
    with pytest.raises(ConfigError, match=r"field '(source|output|train|manifest|model\.path)' is required"):
        load(STAGES[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_at_most_25_fields(stage):
    assert len(dataclasses.fields(STAGES[stage])) <= 25


# --- what the recipes say ---


def test_the_papers_values_are_in_the_recipes():
    for path in TRAINED:
        config = loaded(path)
        assert config.batch_size == {"sft": 16, "grpo": 8}[path.stem], name(path)
        assert config.model.path in PUBLISHED
        if path.stem == "sft" and "b-no-contrastive" not in path.parts:
            assert config.contrastive.weight == (0.1 if "literal" in path.parts else 0.03)
            assert config.contrastive.tap_blocks == ([20] if "qwen3-vl-8b" in path.parts else [16])


@pytest.mark.parametrize(
    ("folder", "stage", "changed"),
    [
        ("a-random", "sft", {"operator": "random"}),
        ("a-random", "grpo", {"counterfactual.operator": "random"}),
        (
            "b-no-contrastive",
            "sft",
            {"contrastive.weight": 0.0, "contrastive.view_gradient": True, "contrastive.queue_size": 0, "uniform_weight": 0.0, "joint_weight": 0.0},
        ),
        ("c-standard-grpo", "grpo", {"reward.objective": "grpo", "sampling.max_refeed": 0}),
        ("d-other-data", "sft", {}),
        ("d-other-data", "grpo", {}),
        ("no-comparator", "grpo", {"reward.comparator": "none"}),
        ("t-grpo", "grpo", {"reward.objective": "t_grpo", "counterfactual.operator": "shuffle", "sampling.max_refeed": 0}),
        ("reversed", "grpo", {"counterfactual.operator": "reverse"}),
    ],
)
def test_an_ablation_differs_from_the_recommended_recipe_in_nothing_else(folder, stage, changed):
    from videoperceiver.runs import flat

    base, other = (flat(dataclasses.asdict(loaded(ROOT / "qwen2.5-vl-7b" / part))) for part in (f"{stage}.yaml", f"ablations/{folder}/{stage}.yaml"))
    assert {key: other[key] for key in other if other[key] != base[key]} == changed


@pytest.mark.parametrize("file", SWEEPS)
def test_every_line_of_a_sweep_is_a_recipe(file):
    stage = SWEEPS[file]
    lines = [line.split("#")[0].split() for line in (ROOT / "qwen2.5-vl-7b/sweeps" / file).read_text().splitlines() if not line.startswith("#")]
    assert len({line[0] for line in lines}) == len(lines) == {"layers.txt": 12, "frame_rates.txt": 5}[file]  # the rows of the paper's table 6
    configs = [load(STAGES[stage], ROOT / f"qwen2.5-vl-7b/{stage}.yaml", [*REQUIRED[stage], *fields]) for _, *fields in lines]
    assert len({str(config) for config in configs}) == len(lines)
    if stage == "sft":
        assert max(block for config in configs for block in config.contrastive.tap_blocks) == 28


# --- dry runs ---


PLANNED = ("qwen2.5-vl-3b/grpo.yaml", "qwen2.5-vl-7b/sft.yaml", "qwen3-vl-8b/sft.yaml")
"""Of true size; the others differ in options, which the real steps below try."""


@pytest.mark.parametrize("path", [ROOT / path for path in PLANNED], ids=name)
def test_a_large_recipe_is_planned_on_its_gpus(path):
    from videoperceiver.training.plan import plan

    found = plan(loaded(path), num_gpus=8)
    assert found.fits, f"{found.memory.total / 2**30:.1f} GiB"
    assert found.spread.strategy == "fsdp2"
    said = next(line for line in path.read_text().splitlines() if line.startswith("# Hardware"))
    assert f" {found.gpu_hours:.0f} GPU-hours" in said or math.isclose(float(said.split(" GPU-hours")[0].split()[-1]), found.gpu_hours, rel_tol=0.03)


SPELLED = {  # by a word-level vocabulary of a hundred words
    "sft": ["caption_prompt=describe the video .", "instruction=what"],
    "grpo": ["sampling.instruction=what", "sampling.max_new_tokens=3", "sampling.num_generations=2"],
}


@pytest.mark.parametrize("other", ["qwen2.5-vl-3b", "qwen3-vl-8b"])
@pytest.mark.parametrize("file", ["data.yaml", "sft.yaml", "grpo.yaml", "evaluate.yaml", "literal/data.yaml", "literal/sft.yaml", "literal/grpo.yaml"])
def test_the_other_models_recipes_differ_from_the_7bs_in_model_and_block_alone(file, other):
    from videoperceiver.runs import flat

    first, second = (flat(dataclasses.asdict(loaded(ROOT / folder / file))) for folder in ("qwen2.5-vl-7b", other))
    assert {key for key in first if first[key] != second[key]} <= {"model.path", "contrastive.tap_blocks"}


@pytest.mark.parametrize("path", [path for path in TRAINED if "qwen2.5-vl-7b" in path.parts], ids=name)  # the others: see the test above
def test_a_large_recipe_takes_a_real_step_on_a_tiny_model(path, rendered, tiny_model, tmp_path):
    from videoperceiver.training import grpo, sft

    shrunk = [f"model.path={tiny_model}", "model.dtype=float32", f"train=[{rendered}]", f"output={tmp_path / 'run'}", "steps=1", "batch_size=3"]
    shrunk += ["runtime.num_workers=0", "held_out.every=0", *SPELLED[path.stem]]
    if path.stem == "sft":
        shrunk += ["contrastive.tap_blocks=[2]", "contrastive.text_encoder=llm", "contrastive.text_model=''"]
    config = load(STAGES[path.stem], path, shrunk)
    run = {"sft": sft, "grpo": grpo}[path.stem].run(config)
    assert run.finished
    (row,) = run.metrics()
    if "grpo/loss" in row or path.stem == "sft":
        assert math.isfinite(row[f"{path.stem}/loss"])
    else:
        assert row["grpo/no_signal"] == 1, "an untrained model is always wrong: without V' in the loss there is nothing to learn from"
    assert (run.folder / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("path", [path for path in LARGE if path.stem == "data"], ids=name)
def test_a_large_data_recipe_builds_a_manifest_without_its_downloads(path, rendered, tmp_path):
    from videoperceiver.data import build

    replaced = ["relevance=motion", "relevance_model=''", "keywords=spacy", "annotate.method=templated", "runtime.decoders=1", "limit=2", "max_reject_rate=1"]
    run = build.run(load(stages.DataConfig, path, [f"source={rendered}", f"output={tmp_path / 'run'}", *replaced]))
    assert run.finished
    assert (run.folder / "manifest.parquet").is_file()


@pytest.mark.parametrize("path", [path for path in LARGE if path.stem == "evaluate"][:1], ids=name)
def test_a_large_evaluation_recipe_runs_on_a_tiny_model(path, rendered, tiny_model, tmp_path):
    from videoperceiver.evaluation import evaluate

    shrunk = [
        f"model.path={tiny_model}",
        "model.dtype=float32",
        f"manifest={rendered}",
        f"output={tmp_path / 'run'}",
        "split=train",
        "limit=2",
        "max_new_tokens=2",
    ]
    run = evaluate.run(load(stages.EvaluateConfig, path, shrunk))
    rows = [json.loads(line) for line in (run.folder / "predictions.jsonl").read_text().splitlines()]
    assert {row["condition"] for row in rows} == {"full", "degraded", "shuffled", "text"}
    assert run.finished
