"""What the documents promise is there: commands, options, fields, files, and every line of the paper map."""

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import videoperceiver
from videoperceiver import stages
from videoperceiver.cli import app
from videoperceiver.config import load

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "videoperceiver"
README = (ROOT / "README.md").read_text(encoding="utf-8")
REQUIRED = {"build": ["source=a", "output=a"], "evaluate": ["model.path=a", "manifest=a", "output=a"]}
REQUIRED["sft"] = REQUIRED["grpo"] = ["model.path=a", "train=[a]", "output=a"]
STAGES = {"data build": stages.DataConfig, "sft": stages.SftConfig, "grpo": stages.GrpoConfig, "evaluate": stages.EvaluateConfig}


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def commands():
    """Every shell line of the README and the manual, comments off."""
    texts = [README, *(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/*.md"))), (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    lines = [line for text in texts for block in blocks(text, "bash") for line in block.splitlines()]
    return sorted({shlex.join(shlex.split(line, comments=True)) for line in lines} - {""})


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_documents_exists(line):
    program, *arguments = line.split(" ")
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), flags=re.M)
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.search(r"videoperceiver\[([\w,]*)\]", line).group(1).split(",")
        assert set(extras) <= project["optional-dependencies"].keys()
    elif program == "videoperceiver":
        check_videoperceiver(shlex.split(line)[1:])
    else:
        assert program.startswith(".venv/bin/"), f"unknown program in {line!r}"


def check_videoperceiver(arguments):
    command, path = get_command(app), []
    while hasattr(command, "commands"):
        path.append(arguments.pop(0))
        command = command.commands[path[-1]]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= options
    stage = STAGES.get(" ".join(path))
    if stage is not None and arguments[0] != "RECIPE":
        recipe, *overrides = arguments
        load(stage, ROOT / recipe, [*REQUIRED[path[-1]], *overrides])  # a line may show some of the fields


@pytest.mark.parametrize("block", blocks(README, "python"))
def test_python_of_the_readme_runs(block, tmp_path, monkeypatch, clip_file):
    pytest.importorskip("spacy")
    import numpy as np

    frames = np.full((16, 32, 48, 3), 40, np.uint8)
    frames[8:10] = 255
    clip_file(frames, 8, name="clip.mp4")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert len(names["clip"]) == 16
    assert isinstance(names["twin"], videoperceiver.Clip)


def tree_paths():
    """(path, is_source) of each line of the README's file tree."""
    tree = blocks(README.split("## Where things are")[1], "")[0]
    inside = False
    for line in tree.splitlines():
        name = line.split()[0]
        inside = line.startswith("  ") and inside
        yield (PACKAGE / name if inside else ROOT / name), inside
        inside = inside or name == "src/videoperceiver/"


def test_the_file_tree_is_the_code():
    paths = list(tree_paths())
    assert [str(path) for path, _ in paths if not path.exists()] == []
    named = {path.name for path, is_source in paths if is_source}
    there = {path.name for path in PACKAGE.iterdir() if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.name != "__init__.py"}
    assert named == there


def defined(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_line_of_the_paper_map_names_a_function_and_a_test():
    rows = [line.split(" | ") for line in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines() if "::" in line and line.startswith("| ")]
    assert len(rows) > 25
    for row in rows:
        function, test = (re.findall(r"`([\w/.]+)::(\w+)`", cell) for cell in row[2:4])
        assert len(function) == len(test) == 1, row
        for root, (path, name) in ((PACKAGE, function[0]), (ROOT / "tests", test[0])):
            assert name in defined(root / path), f"{path}::{name}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"])
def test_links_between_documents_hold(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("http")]
    assert [target for target in targets if target and not (ROOT / target).exists()] == []


def test_the_version_is_the_same_everywhere():
    assert f"version: {videoperceiver.__version__}\n" in (ROOT / "CITATION.cff").read_text()
