"""`videoperceiver data validate`: what a newcomer reads."""

from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.data import manifest
from videoperceiver.types import Question, Sample


def test_the_rules_that_refused_something_are_listed_with_their_rate(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    questions = (
        Question("1", "What colour is the red ball?", "red", "word", "colour", ("red", "blue")),
        Question("2", "Does the [bold]ball bounce?", "yes", "yes_no", "happens"),
    )
    manifest.write([Sample("a", "a.mp4", "", "train", "drawn", (0.0, 0.5), "<b>a</b> ball", questions)], tmp_path / "m.jsonl")
    before = (tmp_path / "m.jsonl").read_bytes()
    ran = CliRunner().invoke(app, ["data", "validate", str(tmp_path / "m.jsonl")])
    assert ran.exit_code == 0, ran.output
    lines = [line.split() for line in ran.output.splitlines()]
    assert ["markup", "3", "1", "33.3%"] in [line[:4] for line in lines]
    assert ["answer_leaks", "2", "1", "50.0%"] in [line[:4] for line in lines]
    assert ["the", "other", "20", "rules"] in [line[:4] for line in lines]
    assert "guessed without looking, of 2 closed questions" in ran.output
    assert (tmp_path / "m.jsonl").read_bytes() == before


def test_nothing_refused_is_one_line(rendered):
    ran = CliRunner().invoke(app, ["data", "validate", str(rendered)])
    assert ran.exit_code == 0, ran.output
    assert "all 22 rules" in ran.output


def test_a_language_there_are_no_rules_for(rendered):
    ran = CliRunner().invoke(app, ["data", "validate", str(rendered), "--language", "fr"])
    assert ran.exit_code == 2
    assert "expected en, zh or any" in ran.output
