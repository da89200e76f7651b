"""Processes of this machine: order, back-pressure, deaths, errors, and the same rows as one process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.data.executors import workers
from tests.data.executors.conftest import ROOT, config_of, same

from videoperceiver.data import build, manifest
from videoperceiver.data.executors import naming, run_tasks
from videoperceiver.data.journal import rows_of
from videoperceiver.errors import ConfigError, VideoPerceiverError


def doubled(rows, settings="", **options):
    options = {"died": workers.died, "num_workers": 2, "chunk": 2, **options}
    return run_tasks("local", workers.make_doubler, settings, rows, **options)


def test_outcomes_come_in_order_and_tasks_are_drawn_a_few_chunks_ahead(tmp_path):
    drawn = []

    def tasks():
        for n in range(40):
            drawn.append(n)
            yield {"n": n, **({"once": str(tmp_path / "once")} if n == 7 else {})}

    with closing(doubled(tasks(), "x")) as outcomes:
        first = next(outcomes)
        assert first == {"n": 0, "settings": "x"}
        assert len(drawn) <= 2 * (2 * 2 + 1)  # two chunks a worker, and the one whose turn it is
        assert [row["n"] for row in outcomes] == list(range(2, 80, 2))
    assert (tmp_path / "once").exists(), "a worker died on the way"


def test_a_task_that_kills_is_given_up_and_its_neighbours_are_not(tmp_path, caplog):
    rows = [{"n": 0}, {"n": 1, "always": True}, {"n": 2}]
    first, killer, last = doubled(rows, str(tmp_path / "mark"), chunk=3)
    assert (first["n"], last["n"]) == (0, 4)
    assert killer == {"n": 1, "died": "signal SIGKILL"}
    assert "a worker of stage 0 died (signal SIGKILL)" in caplog.text


def test_errors_are_raised_here_as_what_they_are():
    with pytest.raises(ConfigError, match="ours"):
        list(doubled([{"n": 0}, {"n": 1, "error": "ours"}]))
    with pytest.raises(VideoPerceiverError, match="a worker of stage 0 failed: RuntimeError: theirs"):
        list(doubled([{"n": 1, "error": "theirs"}]))


def test_one_worker_is_this_process():
    assert list(doubled([{"n": 3}], "y", num_workers=1)) == [{"n": 6, "settings": "y"}]
    with pytest.raises(ValueError, match="at the top of a module"):
        naming.name_of(lambda settings: workers.make_doubler(settings))


def test_two_processes_make_the_rows_of_one_although_a_worker_dies(clips, one_process, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "make_worker", workers.make_dying)
    (tmp_path / "dies_at").write_text("5.mp4")
    run = build.run(config_of(clips, tmp_path / "run", "runtime.num_workers=2", "runtime.chunk=2"))
    assert (tmp_path / "died").exists()
    assert len(manifest.read(run.folder / "manifest.parquet")) == 10
    same(run.folder, one_process)


def test_a_build_that_is_killed_goes_on_with_another_executor(clips, one_process, tmp_path):
    """SIGKILL in the middle of the rows; then the last line is torn as well."""
    overrides = [f"source={clips}", f"output={tmp_path / 'run'}", "relevance=motion", "max_reject_rate=0.2", "runtime.chunk=1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    program = "import sys; from videoperceiver.config import load; from videoperceiver.data import build; from videoperceiver.stages import DataConfig; "
    command = [sys.executable, "-c", f"{program} build.run(load(DataConfig, None, sys.argv[1:]))", *overrides, "runtime.num_workers=1"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    prepared = tmp_path / "run" / "prepared.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None and sum(1 for _ in rows_of(prepared)) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = sum(1 for _ in rows_of(prepared))
    assert 3 <= done < 11, "it was killed between rows"
    with prepared.open("ab") as file:
        file.write(b'{"id": "8.m')
    run = build.run(config_of(clips, tmp_path / "run", "runtime.num_workers=2", "runtime.chunk=1"))
    assert sum(1 for _ in rows_of(prepared)) == 11
    same(run.folder, one_process)


def test_a_decoder_that_does_not_end_costs_its_clips_alone(clips, tmp_path):
    run = build.run(config_of(clips, tmp_path / "run", "runtime.num_workers=1", "runtime.deadline_s=0.0001", "max_reject_rate=1", "limit=2"))
    assert [reject["kind"] for reject in run.rejects()] == ["VideoReadError", "VideoReadError"]
    assert all("did not end within" in reject["reason"] for reject in run.rejects())
    assert Path(run.folder / "manifest.parquet").exists()
