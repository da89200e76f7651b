"""`vllm serve` on an exported checkpoint, asked in the OpenAI chat format with a video. Set-up: docs/rollout-engines.md."""

import base64
import json
import urllib.request

import numpy as np
import pytest
import torch

from tests.training.engines.prompts import shake
from tests.training.engines.vllm_process import free_port, running
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.models import Backbone, TreeBuilder
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


def ask(port: int, model: str, video_url: str, never: list[int]) -> dict:
    content = [{"type": "video_url", "video_url": {"url": video_url}}, {"type": "text", "text": QUESTION}]
    told = {"logprobs": True, "return_token_ids": True, "logit_bias": {str(token): -100 for token in never}}  # random weights would say media tokens
    body = {"model": model, "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": content}], **told}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)


def test_a_chat_request_with_a_video(checkpoint, video, tmp_path):
    port, backbone = free_port(), Backbone.load(checkpoint)
    command = ["-m", "vllm.entrypoints.cli.main", "serve", str(checkpoint), "--served-model-name", "tiny", "--port", str(port), *OPTIONS, *ALL_FRAMES]
    with running(command, tmp_path / "serve.log", "Application startup complete", deadline_s=500):
        answer = ask(port, "tiny", "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode(), backbone.adapter.media_ids)
    (choice,) = answer["choices"]
    ids, told = choice["token_ids"], [step["logprob"] for step in choice["logprobs"]["content"]]
    assert choice["message"]["content"].split() == backbone.tokenizer.decode(ids, skip_special_tokens=True).split()
    clip = read_clip(video, t_s=np.arange(16) / 4)
    as_vllm, as_here = placed(backbone, clip, ids, by_time=True), placed(backbone, clip, ids, by_time=False)
    assert answer["usage"]["prompt_tokens"] == len(as_vllm.nodes[0])
    assert np.abs(logps(backbone, as_vllm) - told).max() < 0.02  # two decoders round colours differently
    assert np.abs(logps(backbone, as_here) - told).max() > 0.2


def logps(backbone, tree):
    with torch.no_grad():
        return backbone([tree]).logps.numpy()


def placed(backbone, clip, answer, *, by_time):
    """Prompt and answer, the text after the video starting behind its largest position, time included, as vLLM has it; or as we have it."""
    builder = TreeBuilder(backbone, clip)
    leaf = builder.question(builder.video(), QUESTION)
    tree = builder.tree()
    nodes = [tree.nodes[n] for n in tree.path(leaf)]
    ids, positions = np.concatenate([n.input_ids for n in nodes]), np.concatenate([n.positions for n in nodes], axis=1)
    last = int(np.flatnonzero(ids == backbone.adapter.video_token_id)[-1])
    if by_time:
        positions[:, last + 1 :] = positions[:, : last + 1].max() + 1 + np.arange(len(ids) - last - 1)
    prompt = Node(ids, patches=np.concatenate([n.patches for n in nodes if n.patches is not None]), positions=positions)
    answer = np.asarray(answer)
    return Tree([prompt, Node(answer, 0, labels=answer)], tree.frames, tree.t_s, tree.patches)
