"""The endpoint annotator against a real `vllm serve`: it takes what is sent, and the garbage of a random model is rejected. Set-up: docs/rollout-engines.md."""

import pytest
from tests.data.annotate.conftest import clip, sample
from tests.training.engines.vllm_process import free_port, running

from videoperceiver.data.annotate import load_annotator, spend
from videoperceiver.errors import SampleError
from videoperceiver.stages import AnnotateConfig, AnnotateServerConfig

pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def test_a_served_model_is_shown_frames_and_held_to_the_schema(tiny_model, tmp_path):
    port = free_port()
    options = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "4096", "--generation-config", "vllm", "--limit-mm-per-prompt", '{"image": 4}']
    command = ["-m", "vllm.entrypoints.cli.main", "serve", str(tiny_model), "--served-model-name", "tiny", "--port", str(port), *options]
    server = AnnotateServerConfig(base_url=f"http://127.0.0.1:{port}/v1", max_retries=0, num_parallel=2)
    made = load_annotator(AnnotateConfig(method="endpoint", model="tiny", num_frames=4, frame_px=56, max_answer_tokens=24, server=server), tmp_path / "answers")
    with running(command, tmp_path / "serve.log", "Application startup complete", deadline_s=500):
        found = list(made.annotate((sample(i), clip(i, size=(56, 56))) for i in range(3)))
    assert all(isinstance(item, SampleError) and "could not be annotated" in item.reason for item in found)
    assert spend(made)["requests"] == 3
    assert spend(made)["prompt_tokens"] > 3 * 4
