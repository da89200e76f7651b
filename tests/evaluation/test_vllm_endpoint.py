"""`vllm serve` as an engine of the evaluation, on the CPU: the answers are the tree engine's. Set-up: docs/rollout-engines.md."""

import json
import os
import signal
import urllib.request

import pytest
import torch
from tests.evaluation.stand_ins import words_of
from tests.evaluation.test_benchmark_runs import config_of
from tests.training.engines.family import children_of, gone
from tests.training.engines.prompts import shake
from tests.training.engines.vllm_process import free_port, interpreter, running
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.ledger import iterate
from videoperceiver.evaluation.protocol import REASONING
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.models import Backbone

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
NAMES = ("video-mme", "tomato", "mvbench", "vru-accident", "charades-sta")  # whole videos, cuts, the question first, captions, spans
CONDITIONS = ["max_new_tokens=8", "conditions=[full,degraded,text]"]
SERVE = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--generation-config", "vllm", "--no-mm-device-do-normalize", "--block-size", "32"]


@pytest.fixture(scope="module")
def model(stand_ins, tmp_path_factory):
    """A tiny Qwen3-VL that speaks the benchmarks' words: random, and made never to say a media token, which no server is told to suppress."""
    words = {word for name in NAMES for word in words_of(name, stand_ins[name][0])} | {"A", "B", "C", "D", *REASONING.split()}
    start = build_tiny(tmp_path_factory.mktemp("start") / "tiny", sorted(words), family="qwen3_vl")
    backbone = Backbone.load(start, freeze_vision=False)
    shake(backbone, 0.15, 0)
    with torch.no_grad():
        backbone.adapter.decoder.get_input_embeddings().weight[backbone.adapter.media_ids] = 0.0  # tied to the head: their logits are 0
    return backbone.save(tmp_path_factory.mktemp("export") / "model")


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    """(process, overrides that name it)."""
    interpreter()
    port = free_port()
    command = ["-m", "vllm.entrypoints.cli.main", "serve", str(model), "--served-model-name", "tiny", "--port", str(port), *SERVE, "--trust-request-mm-kwargs"]
    with running(command, tmp_path_factory.mktemp("serve") / "log", "Application startup complete", deadline_s=500) as process:
        yield process, ["engine.kind=endpoint", f"engine.base_url=http://127.0.0.1:{port}/v1", "engine.media=sequence"]


def answers(run) -> dict:
    return {(row["sample"], row["question"], row["condition"]): row["completion"].split() for row in iterate(run.folder / "predictions.jsonl")}


@pytest.mark.parametrize("name", NAMES)
def test_greedy_answers_are_the_tree_engines(name, stand_ins, model, served, tmp_path):
    """On V, on V' and without a video: the same frames and times were seen."""
    expected = answers(evaluate.run(config_of(name, stand_ins, model, tmp_path / "tree", *CONDITIONS)))
    assert answers(evaluate.run(config_of(name, stand_ins, "tiny", tmp_path / "served", *CONDITIONS, *served[1]))) == expected
    assert len({tuple(said) for said in expected.values()}) > 1
    assert len({condition for *_, condition in expected}) == 3


def test_questions_of_a_video_share_its_prefix(served):
    """Of the questions asked above: vLLM counts the prompt tokens whose keys and values it had."""
    url = served[1][1].removeprefix("engine.base_url=").removesuffix("v1") + "metrics"
    with urllib.request.urlopen(url, timeout=60) as response:
        lines = response.read().decode().splitlines()
    (hits,) = (float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:prefix_cache_hits_total"))
    assert hits > 0


def test_several_draws_and_reasoning_by_the_command(stand_ins, served, tmp_path):
    annotations, videos = stand_ins["tomato"]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("evidence: {keywords: question, relevance: motion}\n")
    drawn = []
    for name in ("one", "two"):
        told = ["model.path=tiny", "benchmark.name=tomato", f"benchmark.annotations={annotations}", f"benchmark.videos={videos}", f"output={tmp_path / name}"]
        told += ["num_samples=3", "temperature=0.8", "prompt=reasoning", "max_new_tokens=16", "conditions=[full]", *served[1]]
        done = CliRunner().invoke(app, ["evaluate", str(recipe), *told])
        assert done.exit_code == 0, done.output
        drawn.append([row["completions"] for row in iterate(tmp_path / name / "predictions.jsonl")])
    assert drawn[0] == drawn[1]  # a question's draws follow from its seed
    assert [len(set(texts)) for texts in drawn[0]] == [3, 3]
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert (result["protocol"]["num_samples"], result["protocol"]["reasoning"]) == (3, True)


def test_a_server_killed_with_9_leaves_no_engine_behind(served):
    """The last test: vLLM's engine core waits for ever for work from a server that is gone, so whoever watches over both must end it."""
    process, _ = served
    server = process.pid
    below = children_of(server)
    assert below
    os.kill(server, signal.SIGKILL)
    for pid in below:
        assert gone(pid)
