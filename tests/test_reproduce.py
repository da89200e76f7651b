"""docs/reproduce.md, run in a shell whose `videoperceiver` and `torchrun` only note how they were called: commands, recipes, fields, what feeds what."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_readme import blocks, check_videoperceiver
from videoperceiver.evaluation.benchmarks import BENCHMARKS

PAGE = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
STUB = """#!/usr/bin/env bash
line=$(printf '%s\\x1f' "$(basename "$0")" "$@")
printf '%s\\n' "$line" >> "$CALLS"
"""
SIX = {"motionbench", "vru-accident", "mvbench", "video-mme", "vsi-bench", "video-mmmu"}


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> list[list[str]]:
    """Every call of the page in order, as the shell expands it; of `torchrun`, what each rank runs."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    folder = tmp_path_factory.mktemp("shell")
    for name in ("videoperceiver", "torchrun"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    log = folder / "calls"
    scripts = re.findall(r"```(?:bash|sh)\n(.*?)```|^\| Table [^|]*\| `([^`]*)` \|", PAGE, flags=re.S | re.M)
    for script, inline in scripts:
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(log)}
        subprocess.run(["bash", "-euc", script or inline], cwd=folder, env=environment, check=True, timeout=60)
    lines = [line.rstrip("\x1f").split("\x1f") for line in log.read_text().splitlines()]
    return [line[line.index("videoperceiver") + 1 :] for line in lines]


def fields(call: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in call if "=" in word)


def test_every_block_is_run(calls):
    assert len(blocks(PAGE, "bash") + blocks(PAGE, "sh")) >= 6
    assert {" ".join(call[:2]) if call[0] == "data" else call[0] for call in calls} == {
        "data index", "data build", "data check", "sft", "grpo", "evaluate", "report",
    }  # fmt: skip


def test_every_command_recipe_field_and_option_exists(calls):
    for call in calls:
        check_videoperceiver(list(call))


def test_both_models_answer_the_papers_six_benchmarks_under_their_own_protocols(calls):
    evaluated = [fields(call) for call in calls if call[0] == "evaluate"]
    for model in ("Qwen/Qwen2.5-VL-7B-Instruct", "runs/stage2/model"):
        assert {item["benchmark.name"] for item in evaluated if item["model.path"] == model} == SIX <= BENCHMARKS.keys()
    assert all(item["benchmark.strict"] == "true" and "max_new_tokens" not in item for item in evaluated)
    assert len({item["output"] for item in evaluated}) == 12


def test_nothing_is_read_that_was_not_written_before(calls):
    written = {"runs/public/manifest.parquet", "runs/eval/base-motionbench", "runs/eval/base-vru-accident"}  # the page says how in words
    for call in calls:
        given = fields(call)
        wanted = [given["model.path"]] if given.get("model.path", "").startswith("runs/") else []
        wanted += given.get("train", "[]").strip("[]").split(",") + given.get("validate.benchmark_index", "[]").strip("[]").split(",")
        wanted += [word for word in call if call[:2] == ["data", "check"] and word.startswith("runs/")]
        for path in filter(None, wanted):
            assert path in written, f"{path} of {call} comes from no earlier command"
        output = given.get("output") or (call[call.index("--output") + 1] if "--output" in call else "")
        written |= {output, f"{output}/model", f"{output}/manifest.parquet"}


def test_the_reports_read_what_was_evaluated(calls):
    evaluated = {fields(call)["output"] for call in calls if call[0] == "evaluate"}
    for call in (call for call in calls if call[0] == "report"):
        runs = [word for word in call[1:] if word.startswith("runs/")]
        assert runs
        for run in runs:
            name = run.replace("*", "ours").removeprefix("runs/eval/")
            assert f"runs/eval/{re.sub(r'^[abcd]-', 'ours-', name)}" in evaluated, run
