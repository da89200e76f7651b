"""Every command and every line of Python of docs/tutorial.md runs, in order, on rendered clips and a tiny model."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.lab.dataset import render_dataset

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"
RECIPES = Path(__file__).parents[1] / "recipes" / "tiny"
BLOCKS = re.findall(r"^```(bash|json|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SHRUNK = {
    "sft": ["steps=2", "batch_size=2", "runtime.num_workers=0"],
    "grpo": ["steps=1", "batch_size=2", "sampling.num_generations=2", "sampling.max_refeed=1"],
    "evaluate": ["batch_size=4"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model):
    """What the reader brings: clips, captions.jsonl, questions.jsonl, and the recipes beside them."""
    root = tmp_path_factory.mktemp("tutorial")
    samples = render_dataset(root / "rendered", num_clips=6, seed=3, split="train", difficulty="bright")
    (root / "clips").mkdir()
    captions, questions = [], []
    for i, sample in enumerate(samples):
        name = f"{i}.mp4"
        shutil.copy(root / "rendered" / sample.video, root / "clips" / name)
        events = [{"start": span.start_s, "end": span.end_s, "label": span.label} for span in sample.spans]
        captions.append({"file": name, "caption": sample.caption, "split": "test" if i == 5 else "train", "events": events})
        questions += [{"file": name, "question": q.text, "answer": q.answer, "kind": q.kind, "options": list(q.options)} for q in sample.questions]
    for file, rows in (("captions.jsonl", captions), ("questions.jsonl", questions)):
        (root / "clips" / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(RECIPES, root / "recipes" / "tiny")
    return root


def commands():
    return [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()]


def test_the_page_shows_the_whole_way():
    verbs = [" ".join(command.split()[1:3]) if command.split()[1] == "data" else command.split()[1] for command in commands()]
    assert verbs == ["data build", "data check", "plan", "plan", "sft", "grpo", "evaluate", "evaluate", "report"]


def test_the_example_lines_are_what_the_files_hold(folder):
    shown = [json.loads(block) for kind, block in BLOCKS if kind == "json"]
    real = [json.loads((folder / "clips" / name).read_text().splitlines()[0]) for name in ("captions.jsonl", "questions.jsonl")]
    assert [row.keys() for row in shown] == [row.keys() for row in real]


def test_every_command_and_line_of_python_runs_in_order(folder, tiny_model, monkeypatch):
    monkeypatch.chdir(folder)
    replaced = {"recipes/qwen2.5-vl-3b": "recipes/tiny", "Qwen/Qwen2.5-VL-3B-Instruct": str(tiny_model)}
    space: dict = {}
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, str(PAGE), "exec"), space)
        for line in block.splitlines() if kind == "bash" else ():
            for name, value in replaced.items():
                line = line.replace(name, value)
            arguments = shlex.split(line)[1:]
            done = CliRunner().invoke(app, [*arguments, *SHRUNK.get(arguments[0], [])])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            if arguments[0] == "plan":
                assert "5 clips of runs/data/asked.parquet" in " ".join(done.output.split()), "the reader's own clips, one of six is for the test"
    for page in ("runs/stage1/report.html", "runs/stage2/report.html", "report/report.html"):
        assert (folder / page).is_file(), page
    assert space["model"].config.model_type == "qwen2_5_vl"
    assert {path.name for path in (folder / "runs").iterdir()} == {"data", "stage1", "stage2", "eval-before", "eval-after"}
