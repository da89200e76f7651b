"""runs.py: complete files or none, resumption that equals an uninterrupted run, and plain words when the disk fails."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from videoperceiver.errors import RunError, SampleError, VideoReadError
from videoperceiver.runs import Run, explain, write_atomic


@dataclass(frozen=True)
class Optim:
    lr: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True)
class Runtime:
    num_workers: int = 0


@dataclass(frozen=True)
class Config:
    steps: int = 4
    layers: tuple[int, ...] = (1, 2)
    optim: Optim = field(default_factory=Optim)
    runtime: Runtime = field(default_factory=Runtime)


def rows_without_time(run):
    return [{key: value for key, value in row.items() if key != "time_s"} for row in run.metrics()]


def stage(folder, start=0, stop_before=4):
    """A stage in small, `start` being what its checkpoint says; the sample of step 2 is bad."""
    run = Run.open_or_create(folder, Config(), stage="sft")
    run.resume_at(start)
    for step in range(start, 4):
        if step == stop_before:
            raise KeyboardInterrupt
        if step == 2:
            run.reject(VideoReadError("no frames", path="a.mp4", sample_id="a"))
        run.log(step, loss=1 / (step + 1))
    run.finish()
    return run


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_run_holds_config_metadata_and_status(tmp_path):
    data = tmp_path / "manifest.jsonl"
    data.write_text("{}\n")
    run = Run.open_or_create(tmp_path / "deep" / "run", Config(steps=7), stage="sft", data=[data])
    assert run.status == Run.open(run.folder).status == "running"
    metadata = json.loads((run.folder / "metadata.json").read_text())
    assert metadata["stage"] == "sft"
    assert metadata["data"] == {str(data): "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"}
    assert metadata["versions"].keys() >= {"videoperceiver", "python", "torch", "transformers"}
    run.finish()
    opened = Run.open(run.folder)
    assert opened.config(Config) == Config(steps=7)
    assert (opened.stage, opened.status, opened.finished) == ("sft", "finished", True)


def test_scalars_are_named_by_stage_and_nan_is_null(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="grpo")
    run.log(1, loss=0.5, **{"sft/loss": float("nan")})
    assert rows_without_time(run) == [{"step": 1, "grpo/loss": 0.5, "sft/loss": None}]
    assert run.metrics()[0]["time_s"] >= 0


@pytest.mark.parametrize(("stop_before", "start"), [(3, 2), (3, 0), (1, 0), (0, 0)])
def test_a_resumed_run_ends_with_the_files_of_an_uninterrupted_one(tmp_path, stop_before, start):
    whole, cut = stage(tmp_path / "whole"), tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        stage(cut, stop_before=stop_before)
    with (cut / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "ti')  # what a kill leaves
    resumed = stage(cut, start=start)
    assert rows_without_time(resumed) == rows_without_time(whole)
    assert [row["step"] for row in resumed.metrics()] == [0, 1, 2, 3]
    assert resumed.rejects() == whole.rejects() == [{"sample_id": "a", "path": "a.mp4", "kind": "VideoReadError", "reason": "no frames"}]
    times = [row["time_s"] for row in resumed.metrics()]
    assert times == sorted(times)


def test_a_finished_run_stays_finished_when_opened_again(tmp_path):
    before = files(stage(tmp_path / "run").folder)
    again = Run.open_or_create(tmp_path / "run", Config(), stage="sft")
    assert again.finished
    assert files(again.folder) == before


def test_a_kill_during_creation_leaves_a_folder_that_can_be_used(tmp_path):
    run = stage(tmp_path / "run")
    for path in run.folder.iterdir():
        if path.name not in (".lock", "config.yaml"):
            path.unlink()
    assert stage(tmp_path / "run").finished


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": Config(steps=5)}, r"holds a run of another recipe \(steps was 4, now 5\)"),
        ({"config": Config(optim=Optim(lr=0.2))}, r"another recipe \(optim.lr was 0.1, now 0.2\)"),
        ({"stage": "grpo"}, "holds a run of stage 'sft', not 'grpo'"),
    ],
)
def test_another_run_in_the_folder_is_refused_and_left_alone(tmp_path, change, message):
    before = files(stage(tmp_path / "run").folder)
    with pytest.raises(RunError, match=message):
        Run.open_or_create(tmp_path / "run", change.get("config", Config()), stage=change.get("stage", "sft"))
    assert files(tmp_path / "run") == before


def test_where_a_run_computes_may_change_and_is_saved(tmp_path):
    Run.open_or_create(tmp_path / "run", Config(), stage="sft")
    run = Run.open_or_create(tmp_path / "run", Config(runtime=Runtime(num_workers=3)), stage="sft")
    assert run.config(Config).runtime.num_workers == 3


def test_a_field_that_is_new_since_counts_as_its_default(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="sft")
    path = run.folder / "config.yaml"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if "clip:" not in line))
    assert Run.open_or_create(run.folder, Config(), stage="sft").config(Config) == Config()
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if "clip:" not in line))
    with pytest.raises(RunError, match=r"optim\.clip was 1\.0, now 2\.0"):
        Run.open_or_create(run.folder, Config(optim=Optim(clip=2.0)), stage="sft")


def test_a_silent_run_counts_rejects_and_writes_nothing(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="sft")
    before, silent = files(run.folder), run.silent()
    silent.log(0, loss=1.0)
    silent.write_json("result.json", {})
    silent.finish()
    for name in ("a", "b"):
        silent.reject(SampleError("bad", sample_id=name))
    assert files(run.folder) == before
    assert run.status == "running"
    with pytest.raises(RunError, match="2 of 10 samples are bad"):
        silent.check_rejects(0.1, seen=10)


def test_changed_data_is_refused(tmp_path):
    data = tmp_path / "manifest.jsonl"
    data.write_text("1\n")
    Run.open_or_create(tmp_path / "run", Config(), stage="sft", data=[data])
    data.write_text("2\n")
    with pytest.raises(RunError, match=r"begun on other data: .*manifest\.jsonl changed since"):
        Run.open_or_create(tmp_path / "run", Config(), stage="sft", data=[data])
    with pytest.raises(RunError, match=r"missing\.jsonl: cannot be read \(No such file"):
        Run.open_or_create(tmp_path / "other", Config(), stage="sft", data=[tmp_path / "missing.jsonl"])


def test_a_folder_with_other_files_is_no_run(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match="is not empty and holds no run"):
        Run.open_or_create(tmp_path, Config(), stage="sft")
    with pytest.raises(RunError, match="is not a run folder: expected config"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="is not a run folder"):
        Run.open(tmp_path / "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("a file")
    for folder in (tmp_path / "run", tmp_path / "run" / "inner"):
        with pytest.raises(RunError, match="a file of that name, or of a parent's name, is in the way"):
            Run.open_or_create(folder, Config(), stage="sft")


def test_damaged_metadata_is_named(tmp_path):
    stage(tmp_path / "run")
    (tmp_path / "run" / "metadata.json").write_text("{")
    with pytest.raises(RunError, match=r"metadata\.json: cannot be read"):
        Run.open(tmp_path / "run")
    (tmp_path / "run" / "metadata.json").write_text('{"stage": "sft", "schema": 99}')
    with pytest.raises(RunError, match="was written in run format 99, this version reads 1"):
        Run.open(tmp_path / "run")


def test_two_writers_are_refused_and_a_killed_one_is_interrupted(tmp_path):
    source = f"""
        import time
        from tests.test_runs import Config, Run
        run = Run.open_or_create({str(tmp_path / "run")!r}, Config(), stage="sft")
        print("ready", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as other:
        assert other.stdout.readline() == b"ready\n"
        assert Run.open(tmp_path / "run").status == "running"
        with pytest.raises(RunError, match="is being written by another process"):
            Run.open_or_create(tmp_path / "run", Config(), stage="sft")
        other.send_signal(signal.SIGKILL)
    assert Run.open(tmp_path / "run").status == "interrupted"
    assert Run.open_or_create(tmp_path / "run", Config(), stage="sft").status == "running"


def test_too_many_bad_samples_fail_the_run_with_their_reasons(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="data")
    for name, reason in (("a", "first"), ("a", "first"), ("a", "later"), ("b", "second")):
        run.reject(SampleError(reason, sample_id=name))
    run.check_rejects(0.1, seen=20)
    run.reject(SampleError("third", sample_id="c"))
    run.reject(SampleError("first", sample_id="d"))
    with pytest.raises(RunError, match=r"4 of 20 samples are bad, more than max_reject_rate=0\.1 allows") as failed:
        run.check_rejects(0.1, seen=20)
    table = str(failed.value).splitlines()[1:-1]  # the most frequent first, with one sample of each
    assert [line.split(maxsplit=1) for line in table[:2]] == [["samples", "reason"], ["2", "SampleError: first (e.g. a)"]]
    assert len(table) == 5
    assert [row["sample_id"] for row in run.rejects()] == ["a", "a", "b", "c", "d"]
    with pytest.raises(RunError, match="4 of 39 samples"):  # counted again from the file
        Run.open(run.folder).check_rejects(0.1, seen=39)


def test_one_bad_sample_is_borne_unless_none_may_be(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="data")
    run.reject(SampleError("bad", sample_id="a"))
    run.check_rejects(0.01, seen=2)
    with pytest.raises(RunError, match="1 of 2 samples are bad"):
        run.check_rejects(0.0, seen=2)


def test_a_full_disk_is_said_in_words(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="sft")
    (run.folder / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunError, match="the disk is full; free some space and run the same command again"):
        run.log(1, loss=1.0)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_read_only_folder_is_said_in_words(tmp_path, monkeypatch, code):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code), str(tmp_path))

    monkeypatch.setattr(os, "mkdir", refuse)  # root ignores permission bits, so the system's answer is played
    with pytest.raises(RunError, match=r"run: this folder cannot be written \(read-only or no permission\); name another one"):
        Run.open_or_create(tmp_path / "run", Config(), stage="sft")


def test_json_of_a_run_has_no_nan(tmp_path):
    run = Run.open_or_create(tmp_path / "run", Config(), stage="evaluate")
    path = run.write_json("result.json", {"a": [float("nan"), 1.5], "b": {"c": float("inf")}, "d": (True, "x", None, 3)})
    assert json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name)) == {"a": [None, 1.5], "b": {"c": None}, "d": [True, "x", None, 3]}


def test_other_failures_keep_the_system_s_words(tmp_path):
    assert explain(OSError(errno.EIO, "Input/output error", "x"), tmp_path) == f"{tmp_path}: Input/output error (x)"


def test_an_atomic_write_replaces_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert path.read_text() == "old"
    write_atomic(path, b"new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
