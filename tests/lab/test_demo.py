"""The demo's chain in its smallest form: every stage runs for real, the report stands, a second call finds everything done."""

import json

import pytest

from videoperceiver.config import load
from videoperceiver.evaluation.evaluate import read_predictions
from videoperceiver.lab import demo, worlds
from videoperceiver.stages import DemoConfig

SMALL = ["backbone_clips=6", "train_clips=6", "grpo_clips=4", "test_clips=3", "backbone_steps=[1,1]", "sft_steps=1", "grpo_steps=1", "num_workers=1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    clips = folder / "clips"
    clips.mkdir()
    from tests.data.test_build import drawn

    from videoperceiver.video.write import write_mp4

    write_mp4(drawn(20), clips / "mine.mp4", fps=16)
    config = load(DemoConfig, None, [f"output={folder / 'run'}", f"clips={clips}", *SMALL])
    return config, demo.run(config)


def test_every_stage_left_its_run(finished):
    _, run = finished
    assert run.finished
    for name in ("data/train", "data/real", "backbone-bright", "backbone-brief", "plain", "stage1", "stage2", "evaluation/stage2-conflict"):
        assert json.loads((run.folder / name / "status.json").read_text())["status"] == "finished", name


def test_every_model_answered_every_test_question_on_both_videos(finished):
    _, run = finished
    for model in demo.MODELS:
        for half in demo.TESTS:
            rows = read_predictions(run.folder / "evaluation" / f"{model}-{half}" / "predictions.jsonl")
            assert sorted({row["condition"] for row in rows}) == ["degraded", "full"]
            assert len(rows) == 2 * 3 * 6
            assert all(row["tags"]["cue"] == half for row in rows)


def test_the_two_halves_ask_about_the_same_events(finished):
    _, run = finished
    references = [
        {
            (row["sample"].split("-")[-1], row["question"]): row["reference"]
            for row in read_predictions(run.folder / "evaluation" / f"plain-{half}" / "predictions.jsonl")
            if not row["static"]
        }
        for half in demo.TESTS
    ]
    assert references[0] == references[1]


def test_the_report_holds_every_number_and_loads_nothing(finished):
    _, run = finished
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    result = json.loads((run.folder / "result.json").read_text())
    assert len(result["accuracy"]) == 4 * 2 * 2
    assert {"plain fine-tuning", "stage 1", "stage 2", "backbone"} == {row["model"] for row in result["accuracy"]}
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "mine.mp4" in page
    assert set(result["seconds"]) >= {"rendering", "stage 0", "backbone", "stage 1 and its control", "stage 2", "evaluation"}


def test_a_second_call_does_nothing(finished):
    config, run = finished
    before = (run.folder / "report.html").stat().st_mtime_ns
    assert demo.run(config).finished
    assert (run.folder / "report.html").stat().st_mtime_ns == before


def test_splits_share_no_seed():
    sets = worlds.rendered_sets(load(DemoConfig, None, ["seed=3"]))
    train = [arguments["seed"] for arguments in sets.values() if arguments["split"] == "train"]
    assert len(train) == len(set(train))
    assert not {a["seed"] for a in worlds.rendered_sets(load(DemoConfig, None, ["seed=4"])).values() if a["split"] == "train"} & set(train)
    assert sets["agree"] | {"cue": "conflict"} == sets["conflict"]


def test_a_recipe_that_is_not_shipped_is_named():
    from videoperceiver.errors import ConfigError

    with pytest.raises(ConfigError, match=r"tiny/none\.yaml"):
        demo.recipe("tiny/none.yaml")
