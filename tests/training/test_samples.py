"""What samples.jsonl holds."""

import json

import pytest
from tests.training.groups import NAN, config_of, group_of, store_of

from videoperceiver.runs import Run
from videoperceiver.stages import WatchConfig
from videoperceiver.training.samples import SampleLog


@pytest.fixture
def run(tiny_model, rendered, tmp_path):
    config = config_of(tiny_model, rendered, tmp_path / "run")
    return Run.open_or_create(config.output, config, stage="grpo")


def rows_of(run):
    return [json.loads(line) for line in (run.folder / "samples.jsonl").read_text().splitlines()]


def test_rows_of_some_groups_every_so_many_steps(run, rendered):
    groups = [group_of(store_of(rendered), [1.0, NAN], [0.0, 0.25], [0, 1], number=n) for n in range(3)]
    log = SampleLog(run, WatchConfig(samples_every=2, num_samples=2))
    for step in range(4):
        log.see(step, groups)
    rows = rows_of(run)
    assert [(row["step"], row["question"]) for row in rows] == [(s, groups[n].question.text) for s in (0, 2) for n in (0, 1)]
    assert rows[0] == {
        "step": 0,
        "sample": groups[0].sample.id,
        "question": groups[0].question.text,
        "reference": groups[0].question.answer,
        "full": ["red", "red"],
        "degraded": ["red", "red"],
        "quality": [1.0, None],
        "quality_degraded": [0.0, 0.25],
        "tries": [0, 1],
    }


def test_a_resumed_run_repeats_no_row(run, rendered):
    groups = [group_of(store_of(rendered), [1.0], [0.0])]
    for step in range(4):
        SampleLog(run, WatchConfig(samples_every=1), start=step).see(step, groups)
    again = SampleLog(run, WatchConfig(samples_every=1), start=2)  # the checkpoint was older than the last row
    again.see(2, groups)
    assert [row["step"] for row in rows_of(run)] == [0, 1, 2]


def test_none_are_written_where_none_are_wanted(run, rendered):
    log = SampleLog(run, WatchConfig(samples_every=0))
    log.see(0, [group_of(store_of(rendered), [1.0], [0.0])])
    log.see(0, [])
    assert not (run.folder / "samples.jsonl").exists()
