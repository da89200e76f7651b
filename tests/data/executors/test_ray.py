"""A local Ray cluster of two workers: the rows of one process, deaths, errors, what is drawn ahead, an early end."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from tests.data.executors.conftest import ROOT, same

from videoperceiver.data import manifest
from videoperceiver.data.executors import run_tasks
from videoperceiver.errors import MissingExtraError

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")


@needs_ray
def test_ray_makes_the_rows_of_one_process_and_a_killed_worker_loses_nothing(clips, one_process, tmp_path):
    """One cluster for all of it, in a process of its own: Ray leaves threads and warnings behind."""
    (tmp_path / "dies_at").write_text("5.mp4")
    command = [sys.executable, "-m", "tests.data.executors.ray_session", str(tmp_path), str(clips)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["workers"] == 2
    assert [row["n"] for row in found["doubled"]] == list(range(0, 18, 2))
    assert (tmp_path / "once").exists()
    assert [row["n"] for row in found["killed"]] == [n if n in (4, 11) else 2 * n for n in range(14)]
    assert [row["n"] for row in found["killed"] if "died" in row] == [4, 11]
    assert "died unexpectedly" in found["killed"][4]["died"]
    assert found["errors"] == [["ConfigError", "ours"], ["VideoPerceiverError", "a worker of stage 0 failed: RuntimeError: theirs"]]
    assert found["task"] == "Map(_answer)", "Ray Data's map ran it"
    assert found["taken"] == 60
    assert found["ahead"] <= 16, "two windows of 2 x 2 chunks of 2"
    assert found["drawn"] <= 16
    assert found["answered"] == [2, 4]
    assert found["closed_s"] < 60, "the workers were busy for 120 s a task"
    assert found["interrupted"] == 5, "the row that was being told is on disk"
    assert found["finished"]
    assert (tmp_path / "died").exists()
    assert len(manifest.read(tmp_path / "ray" / "manifest.parquet")) == 10
    same(tmp_path / "ray", one_process)


def test_without_ray_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'videoperceiver\[ray\]'"):
        next(run_tasks("ray", lambda settings: None, "", [{}], died=lambda row, ending: {}))
