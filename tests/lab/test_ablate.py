"""A study in its smallest form: every stage runs for real, rows stand, nothing is run twice, a rerun gives the same bits."""

from concurrent.futures import Future
from dataclasses import replace

import pytest

from videoperceiver.config import load
from videoperceiver.errors import ConfigError, RunError
from videoperceiver.lab import ablate, arms, rows
from videoperceiver.lab.arms import Unit
from videoperceiver.lab.study import StudyConfig

STUDY = """
output: {folder}/out
backbones: {folder}/seeds
num_seeds: 1
num_workers: 1
demo: {{backbone_clips: 4, train_clips: 4, grpo_clips: 2, test_clips: 2, backbone_steps: [1, 1]}}
tests: {{agree: [full], conflict: [full, degraded]}}
arms:
  plain: {{set: {{steps: 2, batch_size: 2, contrastive.weight: 0, uniform_weight: 0, joint_weight: 0}}}}
  grpo: {{stage: grpo, recipe: tiny/grpo.yaml, data: grpo, start: plain, set: {{steps: 1, batch_size: 1, sampling.max_refeed: 0}}}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "study.yaml").write_text(STUDY.format(folder=folder))
    return load(StudyConfig, folder / "study.yaml")


@pytest.fixture(scope="module")
def told(config):
    """What is said of a study one of whose arms cannot be run; all others are."""
    bad = replace(config.arms["plain"], set={"steps": "many"})
    with pytest.raises(RunError) as error:
        ablate.run(replace(config, arms={"bad": bad, **config.arms}))
    return str(error.value)


@pytest.fixture(scope="module")
def finished(config, told):
    return rows.read(ablate.collect(config))


def test_there_is_a_row_for_each_arm_and_its_backbone(finished):
    assert [(row.arm, row.seed) for row in finished] == [("backbone", 0), ("grpo", 0), ("plain", 0)]
    for row in finished:
        assert {name: len(answers.correct) for name, answers in row.tests.items()} == {"agree/full": 2, "conflict/full": 2, "conflict/degraded": 2}
        assert row.questions == ("flash_colour", "pop_colour", "count", "when", "order", "object_colour")
        assert row.static == (False,) * 5 + (True,)
        assert row.cpu_s["evaluate"] > 0


def test_rows_say_where_they_come_from(finished):
    by_arm = {row.arm: row for row in finished}
    assert by_arm["plain"].weights["start"] == by_arm["backbone"].weights["end"]
    assert by_arm["grpo"].weights["start"] == by_arm["plain"].weights["end"] != by_arm["grpo"].weights["end"]
    assert (by_arm["plain"].steps, by_arm["grpo"].steps) == (2, 1)
    assert by_arm["plain"].cpu_s["train"] > 0
    assert by_arm["backbone"].cpu_s["prepare"] > 10 * by_arm["plain"].cpu_s["prepare"]  # which found clips and backbone
    assert by_arm["plain"].last.keys() == {"sft/loss", "sft/ce"}


def test_predictions_are_not_kept_and_models_are(config, finished):
    assert not (arms.arm_folder(config, Unit("plain", 0)) / "evaluation").exists()
    assert arms.model_folder(config, Unit("plain", 0)).is_dir()


def test_a_seed_s_clips_are_decoded_once(config, finished):
    kept = list(arms.clip_cache(config, 0).glob("*/*.npz"))
    assert len(kept) >= 4 + 2  # those of two tests, and what `plain` and `grpo` trained on


def test_a_second_call_runs_nothing(config, finished):
    path = arms.arm_folder(config, Unit("plain", 0)) / arms.ROW
    before = path.stat().st_mtime_ns
    ablate.run(config)
    assert path.stat().st_mtime_ns == before


def test_a_new_test_is_answered_without_training_again(config, finished):
    unit = Unit("plain", 0)
    trained = arms.arm_folder(config, unit) / arms.TRAINED
    before = trained.stat().st_mtime_ns
    arms.run_unit(replace(config, tests={**config.tests, "brief": ["full"]}), unit)
    row = arms.read_row(config, unit)
    assert {"brief/full", "agree/full"} <= row.tests.keys()
    assert trained.stat().st_mtime_ns == before


def test_an_arm_with_other_fields_is_not_taken_for_the_old_one(config, finished):
    changed = replace(config, arms={**config.arms, "plain": replace(config.arms["plain"], set={"steps": 1, "batch_size": 2})}, tests={"brief": ["full"]})
    with pytest.raises(RunError, match="holds a run of another recipe"):
        arms.run_unit(changed, Unit("plain", 0))


def test_a_killed_arm_begins_anew(config, finished, tmp_path):
    again, unit = replace(config, output=str(tmp_path)), Unit("plain", 0)
    half = arms.arm_folder(again, unit) / "train"
    half.mkdir(parents=True)
    (half / "half.txt").write_text("left by a kill")
    arms.train(again, unit)
    assert not (half / "half.txt").exists()
    assert arms.weights_hash(half / "model") == arms.read_row(config, unit).weights["end"]


def test_no_worker_waits_for_clips_that_another_makes(config, tmp_path):
    begun = []

    class Pool:
        """The first unit never ends, every other at once."""

        def submit(self, run, config, unit):
            begun.append(unit)
            future = Future()
            if len(begun) > 1:
                future.set_result(None)
            return future

    plain = config.arms["plain"]
    study = replace(config, num_seeds=2, num_workers=2, output=str(tmp_path), backbones=str(tmp_path), arms={"plain": plain, "other": plain})
    done, _ = next(ablate._run_all(study, [Unit(arm, seed) for seed in (0, 1) for arm in study.arms], Pool()))
    assert begun == [Unit("plain", 0), Unit("plain", 1)]  # "other" of seed 0 comes before it in the plan
    assert done == begun[1]


def test_a_rerun_reproduces_the_row_bit_for_bit(config, finished):
    assert ablate.check(config, "grpo", 0) == []
    other = next(row for row in finished if row.arm == "plain")
    assert "weights" in ablate.check(config, "grpo", 0, kept=other)


def test_what_is_not_there_is_told(config, finished):
    with pytest.raises(ConfigError, match=r"arms \['nosuch'\] are not in this study; it has plain, grpo"):
        ablate.run(config, ["nosuch"])
    with pytest.raises(RunError, match="holds no row to compare with"):
        ablate.check(config, "plain", 7)


def test_a_failing_arm_is_told_after_the_others_have_run(told, finished):
    assert "1 of 4 arms failed (bad seed 0)" in told
    assert "field 'steps' expects a whole number, got 'many'" in told
    assert len(finished) == 3
