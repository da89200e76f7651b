import subprocess
import sys

import numpy as np
import pytest
import torch

from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.training.engines.vllm_server import check_address
from videoperceiver.training.engines.wire import Prompt, SampleReply, SampleRequest, Sampling, Video, WeightsPart, WireError, pack


def request() -> SampleRequest:
    frames = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    video = Video(frames, {"fps": 1 / 3, "frames_indices": [0.1, 0.7]}, (2, 4, 4), 0.30000000000000004, "abc")
    prompt = Prompt(0, np.asarray([1, 2]), np.asarray([1, 2, 2]), np.arange(9).reshape(3, 3), 2**32 - 1)
    return SampleRequest([video], [prompt], Sampling(2, 8, 0.7, 0.95, [5, 6], [9]), 3)


def test_a_request_arrives_as_it_was_sent():
    sent, got = request(), SampleRequest.from_bytes(request().to_bytes())
    assert got.sampling == sent.sampling
    assert got.version == 3
    assert (got.videos[0].frames == sent.videos[0].frames).all()
    assert (got.videos[0].metadata, got.videos[0].grid_thw, got.videos[0].second_per_grid) == (sent.videos[0].metadata, (2, 4, 4), 0.30000000000000004)
    assert got.prompts[0].seed == 2**32 - 1
    for name in ("ids", "spelled", "positions"):
        assert (getattr(got.prompts[0], name) == getattr(sent.prompts[0], name)).all()


def test_a_reply_arrives_as_it_was_sent():
    reply = SampleReply([[(np.asarray([1, 2]), np.float32([-0.1, -0.2])), (np.asarray([3]), np.float32([-0.3]))], [(np.asarray([4]), np.float32([-1]))]])
    got = SampleReply.from_bytes(reply.to_bytes())
    assert [[ids.tolist() for ids, _ in drawn] for drawn in got.completions] == [[[1, 2], [3]], [[4]]]
    assert got.completions[0][0][1].tolist() == np.float32([-0.1, -0.2]).tolist()
    assert SampleReply.from_bytes(SampleReply([]).to_bytes()).completions == []


def test_weights_keep_their_type_and_bits():
    part = WeightsPart({"a.weight": torch.tensor([[1.5, -2.25]], dtype=torch.bfloat16)}, 4, True, {"r": 8})
    got = WeightsPart.from_bytes(part.to_bytes())
    assert torch.equal(got.tensors["a.weight"], part.tensors["a.weight"])
    assert (got.version, got.last, got.adapter) == (4, True, {"r": 8})


@pytest.mark.parametrize("body", [b"", b"<html>", b"\x80\x04K\x01.", pack({}, {})])
@pytest.mark.parametrize("message", [SampleRequest, SampleReply, WeightsPart])
def test_other_bodies_are_refused(message, body):
    with pytest.raises(WireError):
        message.from_bytes(body)


def test_lengths_must_add_up():
    with pytest.raises(WireError, match="3 tokens and 3 log-probabilities for lengths that add up to 4"):
        SampleReply.from_bytes(pack({"lengths": [[4]]}, {"ids": torch.zeros(3, dtype=torch.int64), "logps": torch.zeros(3)}))


def test_an_open_address_needs_a_token():
    check_address("127.0.0.1", "")
    check_address("0.0.0.0", "secret")
    with pytest.raises(ConfigError, match="no token; set VIDEOPERCEIVER_ENGINE_TOKEN"):
        check_address("0.0.0.0", "")


def test_the_server_needs_neither_our_models_nor_our_configs():
    program = (
        "import sys; import videoperceiver.training.engines.vllm_server; "
        "print([m for m in ('transformers', 'peft', 'omegaconf', 'av', 'typer', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_vllm_the_pip_command_is_told(tmp_path):
    from videoperceiver.training.engines.vllm_model import VllmModel

    with pytest.raises(MissingExtraError, match=r"the vLLM rollout engine needs the package 'vllm'.*pip install 'videoperceiver\[vllm\]'"):
        VllmModel(tmp_path)
