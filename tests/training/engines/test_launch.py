"""The launch file: what it starts on each node, seen by programs that write down how they were called."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.training.engines.family import children_of, gone

from videoperceiver.config import load
from videoperceiver.stages import GrpoConfig
from videoperceiver.training.engines import owned

SCRIPT = Path(__file__).parents[3] / "recipes/launch/rollout_servers.sh"


RECORDER = """#!/bin/sh
calls="$(dirname "$0")/calls"
echo "$CUDA_VISIBLE_DEVICES $*" >> "$calls"
case "$*" in *vllm_server*) exit;; esac
tries=0  # the trainer's end ends the servers: let them write first
until [ "$(grep -c vllm_server "$calls")" -ge 2 ] || [ $tries -ge 100 ]; do tries=$((tries + 1)); sleep 0.1; done
"""


@pytest.fixture
def launch(tmp_path):
    recorder = tmp_path / "recorder"
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)

    def run(*arguments, **variables):
        (tmp_path / "calls").write_text("")
        environment = {"PATH": os.environ["PATH"], "VLLM_PYTHON": str(recorder), "TORCHRUN": str(recorder), **variables}
        done = subprocess.run(["bash", str(SCRIPT), *arguments], env=environment, capture_output=True, text=True, timeout=20)
        return done, sorted((tmp_path / "calls").read_text().splitlines())

    run.recorder = recorder
    return run


GIVEN = {"NODES": "a b", "CHECKPOINT": "/m", "VIDEOPERCEIVER_ENGINE_TOKEN": "secret", "SERVE_GPUS": "2,3", "TRAIN_GPUS": "0,1", "LORA_RANK": "8"}


def test_each_node_serves_and_trains(launch):
    done, calls = launch("grpo.yaml", "train=[/d]", "output=/o", NODE_RANK="1", **GIVEN)
    assert done.returncode == 0, done.stderr
    server = f"-m videoperceiver.training.engines.owned {launch.recorder} -m videoperceiver.training.engines.vllm_server /m --host b --port"
    assert [call for call in calls if "vllm_server" in call] == [
        f"{gpu} {server} {port} --dtype bfloat16 --lora-rank 8" for gpu, port in ((2, 8100), (3, 8101))
    ]
    (trainer,) = [call for call in calls if "vllm_server" not in call]
    assert trainer.startswith("0,1 --nnodes 2 --node-rank 1 --nproc-per-node 2 --master-addr a --master-port 29500 --no-python videoperceiver grpo grpo.yaml ")
    overrides = trainer.split("grpo.yaml ")[1].split()
    config = load(GrpoConfig, None, overrides)
    assert config.engine.servers == ["http://a:8100", "http://a:8101", "http://b:8100", "http://b:8101"]  # the same list on every node
    assert config.model.path == "/m"
    assert "secret" not in " ".join(calls)


@pytest.mark.parametrize("missing", ["NODES", "CHECKPOINT", "VIDEOPERCEIVER_ENGINE_TOKEN"])
def test_what_is_missing_is_named(launch, missing):
    done, calls = launch("grpo.yaml", NODE_RANK="0", **{key: value for key, value in GIVEN.items() if key != missing})
    assert done.returncode != 0
    assert missing in done.stderr
    assert calls == []


STUB = """#!/bin/sh
case "$*" in
  *engines.owned*) shift 2; exec {python} -S {owned} "$@";;
  *vllm_server*) echo $$ >> {pids};;
esac
exec sleep 100
"""


def test_servers_end_with_a_script_that_is_killed(tmp_path):
    stub, pids = tmp_path / "stub", tmp_path / "pids"
    stub.write_text(STUB.format(python=sys.executable, owned=owned.__file__, pids=pids))
    stub.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "VLLM_PYTHON": str(stub), "TORCHRUN": str(stub), "NODE_RANK": "0", **GIVEN}
    script = subprocess.Popen(["bash", str(SCRIPT), "grpo.yaml"], env=environment, start_new_session=True)
    until = time.monotonic() + 20
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    torchrun = [child for child in children_of(script.pid) if "sleep" in Path(f"/proc/{child}/cmdline").read_text()]
    script.kill()
    script.wait()
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    for pid in torchrun:
        os.kill(pid, signal.SIGKILL)
