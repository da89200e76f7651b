import importlib.metadata
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.errors import VideoReadError
from videoperceiver.lab import doctor


@pytest.fixture(autouse=True, scope="module")
def room():
    """Half full, whatever this machine's disk happens to be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=100e9))
        yield


@pytest.fixture(scope="module")
def findings(room):
    return {finding.name: finding for finding in doctor.examine()}


def test_here_it_works(findings):
    for name in ("packages", "machine", "disk", "decoding", "training on cpu"):
        assert findings[name].state == "ok", findings[name]
    assert findings["decoding"].detail.startswith("16 frames of 32x32 px")
    assert {f"extra {name}" for name in doctor.EXTRAS} <= set(findings)
    assert doctor.healthy(findings.values())


def test_a_full_disk_is_told(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1.4e9))
    finding = {finding.name: finding for finding in doctor._room()}["disk"]
    assert (finding.state, finding.detail) == ("broken", "1 GB free here")
    assert finding.todo == f"free some: checkpoints and caches want more than {doctor.LEAST_DISK_GB} GB"


def named(name):
    return {finding.name: finding for finding in doctor._packages()}[name]


def without(monkeypatch, *absent, **versions):
    real = importlib.metadata.version

    def version(name):
        if name in absent:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(doctor.installed, "version", version)


def test_a_missing_extra_is_no_fault_and_has_its_command(monkeypatch):
    without(monkeypatch, "gradio")
    finding = named("extra web")
    assert (finding.state, finding.todo) == ("missing", "pip install 'videoperceiver[web]'")
    assert "gradio is not installed" in finding.detail


def test_vllm_wants_an_environment_of_its_own(monkeypatch):
    without(monkeypatch, "vllm")
    assert named("extra vllm").todo == "see docs/rollout-engines.md"


def test_an_old_or_absent_base_package_is_a_fault(monkeypatch):
    without(monkeypatch, "av", torch="2.1.0")
    finding = named("packages")
    assert finding.state == "broken"
    assert "av is not installed" in finding.detail
    assert "torch is 2.1.0, needed " in finding.detail
    assert finding.todo == "pip install --upgrade videoperceiver"


def test_running_from_source_says_so(monkeypatch):
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    assert named("packages").todo == "pip install -e ."


def test_a_decoder_that_fails_is_told_and_ends_in_exit_code_2(monkeypatch):
    def broken(*args, **kwargs):
        raise VideoReadError("no decoder for h264")

    monkeypatch.setattr(doctor, "read_clip", broken)
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 2
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert found["decoding"] == {
        "name": "decoding",
        "state": "broken",
        "detail": "VideoReadError: no decoder for h264",
        "todo": "reinstall the decoder: pip install --force-reinstall av",
    }
    assert "training on cpu" not in found  # nothing to train on


def test_a_step_that_does_not_learn_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.torch.optim.AdamW, "step", lambda self: None)
    clips = []
    doctor._decode(tmp_path, clips)
    finding = doctor._tried("training on cpu", lambda: doctor._train(tmp_path, clips[0], "cpu"), "todo")
    assert finding.state == "broken"
    assert "expected them to fall" in finding.detail


def test_lines_for_people():
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0
    assert "ok      decoding" in done.stdout
