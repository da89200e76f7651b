"""The oracle finds the events in decoded files; the static frame reaches what its cues allow and nothing more."""

from dataclasses import replace

import pytest

from videoperceiver.lab import oracle, tasks
from videoperceiver.lab.dataset import render_dataset, scene_of
from videoperceiver.lab.difficulty import DIFFICULTIES
from videoperceiver.lab.render import render
from videoperceiver.video.read import read_clip


@pytest.mark.parametrize(("name", "num_clips", "least"), [("faint", 25, 0.99), ("bright", 20, 0.99), ("moving", 12, 0.97), ("accident-faint", 20, 0.97)])
def test_the_oracle_answers_nearly_everything(tmp_path, name, num_clips, least):
    samples = render_dataset(tmp_path / name, num_clips=num_clips, seed=3, split="test", difficulty=name, families=tasks.families_for(DIFFICULTIES[name]))
    table = oracle.baseline_accuracy(tmp_path / name, samples, {"oracle": oracle.oracle()})
    assert table["mean"]["oracle"] >= least, table


def test_the_oracle_does_not_look_at_the_events_it_is_to_find(tmp_path):
    sample = render_dataset(tmp_path / "faint", num_clips=1, seed=3, split="test")[0]
    scene = scene_of(sample).scene
    frames = read_clip(tmp_path / "faint" / sample.video).frames
    assert oracle.seen_events(scene, render(replace(scene, events=()))) == ()
    found = oracle.seen_events(scene, frames)
    assert [(event.kind, event.start, event.colour) for event in found] == [(event.kind, event.start, event.colour) for event in scene.events]


def test_shortcuts_win_where_cues_agree_and_lose_where_they_conflict(tmp_path):
    train = render_dataset(tmp_path / "train", num_clips=60, seed=0, split="train", cue="shortcut")
    answerers = {"majority": oracle.majority(train), "text_only": oracle.text_only(train), "static_frame": oracle.static_frame(train)}
    tables = {}
    for cue in ("agree", "conflict"):
        samples = render_dataset(tmp_path / cue, num_clips=40, seed=0, split="test", cue=cue)
        tables[cue] = oracle.baseline_accuracy(tmp_path / cue, samples, answerers)
    for family in tasks.EVENT_FAMILIES:
        assert tables["agree"][family]["static_frame"] == 1.0
        assert tables["conflict"][family]["static_frame"] == 0.0
        assert tables["agree"][family]["majority"] == tables["conflict"][family]["majority"] < 0.75
        assert tables["agree"][family]["text_only"] < 0.8
    assert tables["conflict"]["object_colour"]["static_frame"] == 1.0


def test_the_report_of_a_preset_separates_agreeing_from_conflicting_cues(tmp_path):
    report = oracle.baseline_report(tmp_path, "accident", num_clips=12, seed=4)
    assert list(report) == ["object_colour", "what", "why", "when_hit", "caption", "mean"]
    for family in ("what", "why", "when_hit"):
        assert report[family] == report[family] | {"static_frame, agree": 1.0, "static_frame, conflict": 0.0}
        assert report[family]["oracle"] >= 0.9
    assert report["object_colour"]["static_frame, conflict"] == 1.0


def test_the_table_is_markdown():
    text = oracle.markdown({"when": {"oracle": 1.0, "majority": 0.3333}, "mean": {"oracle": 1.0, "majority": 0.3333}})
    assert text.splitlines() == ["| family | oracle | majority |", "|---|---:|---:|", "| when | 1.000 | 0.333 |", "| mean | 1.000 | 0.333 |"]
