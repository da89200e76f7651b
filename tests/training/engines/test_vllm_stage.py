"""Stage 2 itself with vLLM drawing, on the CPU: it ends where the tree engine's run ends. Set-up: docs/rollout-engines.md."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.engines.vllm_process import CPU, ROOT, free_port, interpreter, running
from tests.training.groups import config_of
from tests.training.ranks import free_port as rendezvous_port

from videoperceiver.errors import EngineError
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.training import grpo

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
GREEDY = [
    "steps=2",
    "uniform_weight=0.1",  # an untrained model's answers earn nothing: this moves the weights
    "sampling.temperature=0",
    "sampling.max_refeed=0",
    "sampling.max_new_tokens=6",
    "optim.lr=1e-2",
    "watch.samples_every=1",
    "engine.max_mismatch=1e-3",
]
COLOCATED = ["engine.kind=colocated", "engine.max_model_len=2048", "engine.eager=true"]
SAMPLED = ["steps=2", "uniform_weight=0.1", "sampling.no_signal=resample", "engine.max_mismatch=1e-3"]
EQUAL = ("loss", "grad_norm", "entropy", "uniform", "length", "base_reward", "q", "q_degraded")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    interpreter()
    return build_tiny(tmp_path_factory.mktemp("start") / "tiny", VOCABULARY)


def in_the_environment(command, given, environment=CPU):
    """What each rank of stage_check wrote."""
    Path(given["output"]).mkdir(exist_ok=True)
    variables = {**environment, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": given["output"]}
    arguments = [interpreter(), *command, str(Path(__file__).parent / "stage_check.py"), json.dumps(given)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=variables, cwd=ROOT, timeout=580)
    assert done.returncode == 0, done.stderr[-5000:]
    return [json.loads(file.read_text()) for file in sorted(Path(given["output"]).glob("rank-*.json"))]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def figures(row: dict) -> dict[str, float]:
    """Of a step; -1 for those it has not (no answer could be scored)."""
    return {name: -1 if row[f"grpo/{name}"] is None else row[f"grpo/{name}"] for name in EQUAL}


def assert_same_training(start: Path, one: Path, other: Path) -> None:
    """Of two runs' folders: the same tokens, losses and gradients at each step, and weights that moved alike."""
    metrics, others = rows(one / "metrics.jsonl"), rows(other / "metrics.jsonl")
    assert len(metrics) == len(others) == 2
    for row, its in zip(metrics, others, strict=True):
        assert figures(row) == pytest.approx(figures(its), rel=1e-3)
        assert 0 <= its["grpo/mismatch"] < 1e-3
    said = rows(one / "samples.jsonl")
    assert len(said) >= 2
    assert said == rows(other / "samples.jsonl")
    before, ours, theirs = (weights(folder) for folder in (start, one / "model", other / "model"))
    moved = sum((ours[name] - before[name]).abs().sum().item() for name in before)
    apart = sum((ours[name] - theirs[name]).abs().sum().item() for name in before)
    assert moved > 0
    assert apart < 0.01 * moved


def test_in_the_trainers_process(tiny, rendered, tmp_path):
    """Full weights and LoRA against the tree, and with sampling; weights go over at the start and after every update, with LoRA the adapter alone."""
    lora = ["model.lora_rank=4"]
    runs = {"tree": GREEDY, "full": GREEDY + COLOCATED, "lora_tree": GREEDY + lora, "lora": GREEDY + COLOCATED + lora, "sampled": SAMPLED + COLOCATED}
    runs["short"] = [*GREEDY, *COLOCATED, "engine.max_model_len=40"]
    (told,) = in_the_environment([], {"model": str(tiny), "data": str(rendered), "output": str(tmp_path / "runs"), "runs": runs})
    for tree, colocated in (("tree", "full"), ("lora_tree", "lora")):
        assert_same_training(tiny, tmp_path / "runs" / tree, tmp_path / "runs" / colocated)
    step = ["sample", "sleep"]  # vLLM on a CPU cannot sleep: asked to, it goes on
    assert told["full"]["calls"] == ["load", *step, "load", *step, "load", "close"]
    assert told["lora"]["calls"] == ["load", "load_adapter", *step, "load_adapter", *step, "load_adapter", "close"]
    assert [0 <= row["grpo/mismatch"] < 1e-3 for row in rows(tmp_path / "runs/sampled/metrics.jsonl")] == [True, True]
    assert "'vllm colocated'" in told["short"]["error"]
    assert "longer than the maximum model length of 40" in told["short"]["error"]
    assert not any(told[name]["error"] for name in runs if name != "short")
    assert max(len(told[name]["children"]) for name in runs) == 0  # nothing to leave behind


def test_in_the_process_of_each_rank(tiny, rendered, tmp_path):
    """torchrun's process group is the trainer's: vLLM joins it, and leaves it standing."""
    given = {"model": str(tiny), "data": str(rendered), "output": str(tmp_path / "runs"), "runs": {"tree": GREEDY, "full": GREEDY + COLOCATED}}
    first, second = in_the_environment(["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(rendezvous_port())], given)
    assert_same_training(tiny, tmp_path / "runs/tree", tmp_path / "runs/full")
    assert first["full"]["calls"] == second["full"]["calls"] == ["load", "sample", "sleep"] * 2 + ["load", "close"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="sleep and wake need CUDA")
def test_asleep_between_rollouts(tiny, rendered, tmp_path):
    runs = {"tree": GREEDY, "full": GREEDY + COLOCATED}
    (told,) = in_the_environment([], {"model": str(tiny), "data": str(rendered), "output": str(tmp_path / "runs"), "runs": runs})
    assert told["full"]["calls"] == ["load", "sample", "sleep, asleep", "load", "sample", "sleep, asleep", "load", "close"]


def test_a_server_that_hangs_and_then_dies_within_a_step(tiny, rendered, tmp_path):
    """Each time a message within the deadline, and the same command goes on; the end is that of a run never disturbed."""
    port = free_port()
    options = ["--port", str(port), "--dtype", "float32", "--max-model-len", "2048", "--eager"]
    command = ["-m", "videoperceiver.training.engines.vllm_server", str(tiny), *options]
    server = ["steps=4", "checkpoint_every=1", "engine.kind=server", f"engine.servers=[http://127.0.0.1:{port}]", "engine.deadline_s=20"]
    undisturbed, disturbed = (config_of(tiny, rendered, tmp_path / name, *GREEDY, *server) for name in ("undisturbed", "disturbed"))
    metrics = tmp_path / "disturbed/metrics.jsonl"
    with running(command, tmp_path / "server.log", "serving ") as process:
        grpo.run(undisturbed)
        said, took_s = stopped_by(process.pid, signal.SIGSTOP, metrics, 1, disturbed)
        assert "within 20 s: it hangs" in said
        assert took_s < 40
        os.kill(process.pid, signal.SIGCONT)
        said, took_s = stopped_by(process.pid, signal.SIGKILL, metrics, 2, disturbed)
        assert "it died" in said
        assert took_s < 15
    assert f"vllm server 127.0.0.1:{port}" in said
    with running(command, tmp_path / "server-again.log", "serving "):
        run = grpo.run(disturbed)
    assert [row["step"] for row in run.metrics()] == [0, 1, 2, 3]
    expected, got = (weights(tmp_path / name / "model") for name in ("undisturbed", "disturbed"))
    assert max((expected[name] - got[name]).abs().max().item() for name in expected) < 1e-4


def stopped_by(pid: int, number: int, metrics: Path, steps: int, config) -> tuple[str, float]:
    """The error of a run whose server gets a signal once so many steps are logged, and the seconds from the signal to the error."""
    sent: list[float] = []

    def send() -> None:
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < steps:
            time.sleep(0.005)
        os.kill(pid, number)
        sent.append(time.monotonic())

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    with pytest.raises(EngineError) as error:
        grpo.run(config)
    thread.join()
    return str(error.value), time.monotonic() - sent[0]
