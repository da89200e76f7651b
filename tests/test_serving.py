"""`vllm serve` on an exported checkpoint, asked in the OpenAI chat format with a video. Set-up: docs/rollout-engines.md."""

import base64
import json
import urllib.request

import numpy as np
import pytest

from tests.training.engines.prompts import shake
from tests.training.engines.vllm_process import free_port, running
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.models import Backbone, TreeBuilder, generate
from videoperceiver.models.lora import Lora
from videoperceiver.models.tree import Node, Tree
from videoperceiver.video.read import read_clip
from videoperceiver.video.write import write_mp4

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
QUESTION = "what colour is the flash ?"
OPTIONS = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--generation-config", "vllm", "--no-mm-device-do-normalize"]
ALL_FRAMES = ["--media-io-kwargs", '{"video": {"fps": 30}}', "--mm-processor-kwargs", '{"do_sample_frames": false}']


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """What a LoRA run leaves: merged weights in a plain folder."""
    start = build_tiny(tmp_path_factory.mktemp("start") / "tiny", VOCABULARY)
    policy = Backbone.load(start, lora=Lora(rank=4))
    shake(policy, 0.15, 0)
    return policy.save(tmp_path_factory.mktemp("export") / "model")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    frames = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8)
    return write_mp4(frames, tmp_path_factory.mktemp("video") / "clip.mp4", fps=4, crf=0, pix_fmt="yuv444p")


def ask(port: int, model: str, video_url: str) -> dict:
    content = [{"type": "video_url", "video_url": {"url": video_url}}, {"type": "text", "text": QUESTION}]
    body = {"model": model, "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": content}]}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)


def test_a_chat_request_with_a_video(checkpoint, video, tmp_path):
    port = free_port()
    command = ["-m", "vllm.entrypoints.cli.main", "serve", str(checkpoint), "--served-model-name", "tiny", "--port", str(port), *OPTIONS, *ALL_FRAMES]
    with running(command, tmp_path / "serve.log", "Application startup complete", deadline_s=500):
        answer = ask(port, "tiny", "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode())
    backbone = Backbone.load(checkpoint)
    prompt, (expected,) = as_vllm_places_it(backbone, read_clip(video, t_s=np.arange(16) / 4))
    assert answer["usage"]["prompt_tokens"] == prompt
    assert answer["choices"][0]["message"]["content"].split() == expected.text.split()
    assert len(expected.token_ids) > 1


def as_vllm_places_it(backbone, clip):
    """Tokens of the prompt, and our greedy completion where the text after the video starts after the video's largest position, time included."""
    builder = TreeBuilder(backbone, clip)
    leaf = builder.question(builder.video(), QUESTION)
    tree = builder.tree()
    nodes = [tree.nodes[n] for n in tree.path(leaf)]
    ids, positions = np.concatenate([n.input_ids for n in nodes]), np.concatenate([n.positions for n in nodes], axis=1)
    last = int(np.flatnonzero(ids == backbone.adapter.video_token_id)[-1])
    positions[:, last + 1 :] = positions[:, : last + 1].max() + 1 + np.arange(len(ids) - last - 1)
    whole = Node(ids, patches=np.concatenate([n.patches for n in nodes if n.patches is not None]), positions=positions)
    tree = Tree([whole], tree.frames, tree.t_s, tree.patches)
    ((drawn,),) = generate(backbone, [tree], [[0]], num_generations=1, max_new_tokens=8, temperature=0, seed=0)
    return len(ids), drawn
