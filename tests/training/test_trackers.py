"""Trackers read along: what reaches each, that none is needed, and what is said where one is missing."""

import importlib
import sys
import types

import pytest

from videoperceiver.config import load
from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.runs import Run
from videoperceiver.stages import OptimConfig
from videoperceiver.training.trackers import PACKAGES, opened

SCALARS = {"loss": 0.5, "held_out/accuracy_full": 1.0, "t2v_r1": float("nan")}


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.open_or_create(tmp_path / "my-run", load(OptimConfig), stage="sft")


class Session:
    """What trackio and wandb share: init, log, finish."""

    def __init__(self):
        self.calls = []

    def install(self, monkeypatch, name):
        module = types.ModuleType(name)
        for call in ("init", "log", "finish"):
            setattr(module, call, lambda *args, call=call, **kwargs: self.calls.append((call, args, kwargs)))
        monkeypatch.setitem(sys.modules, name, module)
        return self


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_session_gets_the_config_and_each_step(monkeypatch, run, name):
    session = Session().install(monkeypatch, name)
    with opened([name], run, OptimConfig(lr=0.25), start=3) as track:
        track(3, SCALARS)
    (init, _, options), (log, (scalars,), step), (finish, _, _) = session.calls
    assert (init, log, finish) == ("init", "log", "finish")
    assert options["project"] == "videoperceiver"
    assert options["name"] == "my-run"
    assert options["config"]["lr"] == 0.25
    assert options["resume"] == "allow"
    assert options.get("id") == ("my-run" if name == "wandb" else None)
    assert scalars == {"sft/loss": 0.5, "held_out/accuracy_full": 1.0}  # as in metrics.jsonl; what is not finite is left out
    assert step == {"step": 3}


def test_sessions_end_with_an_error_too(monkeypatch, run):
    session = Session().install(monkeypatch, "trackio")
    with pytest.raises(KeyboardInterrupt), opened(["trackio"], run, OptimConfig()):
        raise KeyboardInterrupt
    assert [call for call, *_ in session.calls] == ["init", "finish"]


def test_ranks_beside_the_first_track_nothing(monkeypatch, run):
    session = Session().install(monkeypatch, "trackio")
    with opened(["trackio"], run, OptimConfig(), speaks=False) as track:
        track(0, SCALARS)
    assert session.calls == []


def test_tensorboard_writes_scalars_and_drops_what_is_done_again(run):
    pytest.importorskip("tensorboard", reason="the extra 'track' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, value in ((0, 0.5), (1, 0.25)):
        with opened(["tensorboard"], run, OptimConfig(), start=start) as track:
            for step in range(start, 2):
                track(step, SCALARS | {"loss": value})
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"sft/loss", "held_out/accuracy_full"}
    assert [(event.step, event.value) for event in events.Scalars("sft/loss")] == [(0, 0.5), (1, 0.25)]


@pytest.mark.parametrize("name", list(PACKAGES))
def test_a_missing_package_is_named_with_the_command(monkeypatch, run, name):
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    importlib.invalidate_caches()
    with pytest.raises(MissingExtraError, match=r"pip install 'videoperceiver\[track\]'"), opened([name], run, OptimConfig()):
        pass


def test_an_unknown_tracker_is_a_recipe_error(run):
    with pytest.raises(ConfigError, match=r"no tracker 'mlflow'; expected some of tensorboard, trackio, wandb"), opened(["mlflow"], run, None):
        pass
