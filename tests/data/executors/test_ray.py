"""A local Ray cluster of two workers: the rows of one process, a worker that is killed, tasks that kill, errors."""

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
    assert [row["n"] for row in found["killed"]] == [6, 4, 10]
    assert "died" in found["killed"][1]
    assert found["error"] == ["ConfigError", "ours"]
    assert found["finished"]
    assert (tmp_path / "died").exists()
    assert len(manifest.read(tmp_path / "ray" / "manifest.parquet")) == 10
    same(tmp_path / "ray", one_process)


def test_without_ray_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'videoperceiver\[ray\]'"):
        next(run_tasks("ray", lambda settings: None, "", [{}], died=lambda row, ending: {}))
