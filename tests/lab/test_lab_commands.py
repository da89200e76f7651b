"""`videoperceiver lab` from the shell: help, plain words for bad input, and a page from rows."""

import numpy as np
import pytest
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.lab import rows
from videoperceiver.lab.rows import Answers, Row

STUDY = """
output: {folder}/out
num_seeds: 2
tests: {{conflict: [full], agree: [full]}}
arms: {{plain: {{}}, better: {{}}}}
claims: [{{says: the better way, arm: better, against: plain, family: one}}]
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.format(folder=tmp_path))
    return tmp_path / "study.yaml"


def call(*arguments):
    return CliRunner().invoke(app, ["lab", *map(str, arguments)], prog_name="videoperceiver")


@pytest.mark.parametrize("command", ["ablate", "probe", "report"])
def test_every_command_has_help(command):
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "study" in result.output.lower() or "models" in result.output.lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ablate", "nosuch.yaml"), "no such file"),
        (("ablate", "RECIPE", "--arm", "nosuch"), "are not in this study"),
        (("ablate", "RECIPE", "--check", "plain"), "holds no row to compare with"),
        (("ablate", "RECIPE", "num_seed=3"), "did you mean 'num_seeds'"),
        (("report", "RECIPE"), "cannot be read as rows"),
    ],
)
def test_bad_input_is_told_in_plain_words(recipe, arguments, message):
    result = call(*(recipe if argument == "RECIPE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_report_writes_the_page(recipe, tmp_path):
    right = np.random.default_rng(0).random((20, 2)) < 0.5
    answers = {name: Answers(right, ~right) for name in ("conflict/full", "agree/full")}
    made = [
        Row(arm, seed, "c0ffee", 1, {"train": 2.0, "evaluate": 1.0}, {}, ("when", "object_colour"), (False, True), answers)
        for arm in ("plain", "better")
        for seed in (0, 1)
    ]
    rows.write(made, tmp_path / "rows.jsonl")
    result = call("report", recipe, "--rows", tmp_path / "rows.jsonl", "--docs", tmp_path / "docs")
    assert result.exit_code == 0, result.output
    assert "makes no difference of 3 points" in (tmp_path / "docs" / "findings.md").read_text()
