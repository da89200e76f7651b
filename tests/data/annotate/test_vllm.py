"""The endpoint annotator against a real `vllm serve`: it takes what is sent, and the garbage of a random model is rejected. Set-up: docs/rollout-engines.md."""

import json

import pytest
from tests.data.annotate.conftest import clip, sample
from tests.training.engines.vllm_process import free_port, running

from videoperceiver.data.annotate import load_annotator, spend
from videoperceiver.errors import SampleError
from videoperceiver.stages import AnnotateConfig, AnnotateServerConfig

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture
def spelling_model(tmp_path):
    """A tiny random Qwen2.5-VL whose tokens are bytes, so that it can spell any JSON."""
    from tokenizers.pre_tokenizers import ByteLevel

    from videoperceiver.lab.backbone import build_tiny

    folder = build_tiny(tmp_path / "tiny", sorted(ByteLevel.alphabet()), hidden_size=64, num_layers=1, vision_hidden_size=32, vision_depth=1)
    file = folder / "tokenizer.json"
    told = json.loads(file.read_text())
    told["model"] = {"type": "BPE", "vocab": told["model"]["vocab"], "merges": [], "unk_token": "<unk>"}
    told["pre_tokenizer"] = told["decoder"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    file.write_text(json.dumps(told))
    return folder


def test_a_served_model_is_shown_frames_and_held_to_the_schema(spelling_model, tmp_path):
    port = free_port()
    options = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "8192", "--generation-config", "vllm", "--limit-mm-per-prompt", '{"image": 4}']
    command = ["-m", "vllm.entrypoints.cli.main", "serve", str(spelling_model), "--served-model-name", "tiny", "--port", str(port), *options]
    server = AnnotateServerConfig(base_url=f"http://127.0.0.1:{port}/v1", max_retries=0, num_parallel=2)
    made = load_annotator(AnnotateConfig(method="endpoint", model="tiny", num_frames=4, frame_px=56, max_answer_tokens=64, server=server), tmp_path / "answers")
    with running(command, tmp_path / "serve.log", "Application startup complete", deadline_s=500):
        found = list(made.annotate((sample(i), clip(i, size=(56, 56))) for i in range(3)))
    assert [isinstance(item, SampleError) for item in found] == [True] * 3
    assert all("could not be annotated" in item.reason and "status" not in item.reason for item in found)
    assert spend(made)["requests"] == 3
    assert spend(made)["prompt_tokens"] > 3 * 1_000
