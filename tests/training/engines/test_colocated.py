"""When vLLM in the trainer's process sleeps and wakes, with a recorder in vLLM's place that claims a GPU. What vLLM does then is not tried here."""

import sys
import tempfile
from types import ModuleType, SimpleNamespace

import pytest
import torch

from videoperceiver.errors import EngineError, MissingExtraError
from videoperceiver.models import Backbone
from videoperceiver.models.lora import Lora
from videoperceiver.training.engines.colocated import ColocatedEngine

DRAW = {"num_generations": 1, "max_new_tokens": 2, "seed": 0}


class Recorder:
    """vllm.LLM, writing down what it is asked to do."""

    def __init__(self, folder: str, **options):
        self.did: list[str] = []
        self.options, self.fails = options, ""
        self.engine_core = SimpleNamespace(shutdown=lambda: self.did.append("shut down"))

    @property
    def llm_engine(self):
        return self

    def add_lora(self, request) -> None:
        self.did.append("adapter")

    def remove_lora(self, number: int) -> None:
        pass

    def abort_request(self, names: list[str]) -> None:
        pass

    def reset_prefix_cache(self) -> None:
        pass

    def reset_encoder_cache(self) -> None:
        pass

    def apply_model(self, change) -> None:
        pass

    def has_unfinished_requests(self) -> bool:
        if self.fails:
            raise RuntimeError(self.fails)
        self.did.append("draw")
        return False

    def collective_rpc(self, name: str, kwargs: dict) -> None:
        self.did.append(f"{name} {len(dict(kwargs['weights_iterator'])) > 0}")

    def sleep(self, level: int) -> None:
        self.did.append(f"sleep {level}")

    def wake_up(self) -> None:
        self.did.append("wake")


@pytest.fixture
def vllm(monkeypatch):
    modules = {name: ModuleType(name) for name in ("vllm", "vllm.exceptions", "vllm.lora", "vllm.lora.request")}
    modules["vllm"].__dict__.update(LLM=Recorder, __version__="0.32")
    modules["vllm.exceptions"].__dict__.update(VLLMError=type("VLLMError", (Exception,), {}), VLLMClientError=type("VLLMClientError", (Exception,), {}))
    modules["vllm.lora.request"].__dict__.update(LoRARequest=lambda name, number, folder: SimpleNamespace(lora_int_id=number))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.parametrize(
    ("rank", "first", "later"), [(0, ["reload_weights True"], ["reload_weights True"]), (4, ["reload_weights True", "adapter"], ["adapter"])]
)
def test_it_sleeps_after_drawing_and_wakes_for_the_new_weights(vllm, tiny_model, rank, first, later):
    backbone = Backbone.load(tiny_model, lora=Lora(rank=rank) if rank else None)
    engine = ColocatedEngine(backbone, sleep=True, memory_share=0.3, max_model_len=512, eager=True)
    llm = engine._model._llm
    told = ("enable_sleep_mode", "gpu_memory_utilization", "max_model_len", "enforce_eager", "enable_lora", "load_format", "distributed_executor_backend")
    assert [llm.options[name] for name in told] == [True, 0.3, 512, True, rank > 0, "dummy", None]
    engine.sync(backbone)
    for _ in range(2):
        engine.sample([], [], **DRAW)
        assert engine.asleep
        engine.sync(backbone)
        assert not engine.asleep
    engine.close()
    assert llm.did == [*first, "draw", "sleep 1", "wake", *later, "draw", "sleep 1", "wake", *later, "shut down"]


def test_a_step_without_an_update_wakes_it_to_draw(vllm, tiny_model):
    backbone = Backbone.load(tiny_model)
    engine = ColocatedEngine(backbone, sleep=True)
    engine.sync(backbone)
    engine.sample([], [], **DRAW)
    engine.sample([], [], **DRAW)
    assert engine._model._llm.did[1:] == ["draw", "sleep 1", "wake", "draw", "sleep 1"]
    engine.close()


def test_without_sleep_it_stays(vllm, tiny_model):
    engine = ColocatedEngine(Backbone.load(tiny_model), sleep=False)
    engine.sample([], [], **DRAW)
    assert not engine.asleep
    assert engine._model._llm.options["enable_sleep_mode"] is False
    engine.close()


def test_vllms_failures_are_told_by_name(vllm, tiny_model):
    engine = ColocatedEngine(Backbone.load(tiny_model))
    engine._model._llm.fails = "the cache is full"
    with pytest.raises(EngineError, match=r"'vllm colocated': vLLM could not draw \(RuntimeError: the cache is full\); see engine.max_model_len"):
        engine.sample([], [], **DRAW)
    engine.close()


def test_without_vllm_the_command_is_told_and_nothing_is_left(tiny_model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pip install 'videoperceiver\[vllm\]'"):
        ColocatedEngine(Backbone.load(tiny_model))
    assert list(tmp_path.iterdir()) == []
