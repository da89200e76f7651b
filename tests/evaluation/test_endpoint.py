"""A server as an engine: what it is sent, draws, a server that misbehaves, what is asked again after an interruption."""

import base64
import io
import json

import av
import numpy as np
import pytest
from PIL import Image
from tests.evaluation.test_benchmark_runs import config_of
from tests.scoring.test_endpoint import Server, hang, truncated

from videoperceiver.errors import EndpointError, SampleError
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.endpoint import EndpointEngine, media_parts, told_times
from videoperceiver.evaluation.engines import Ask
from videoperceiver.evaluation.ledger import iterate
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.stages import EngineConfig
from videoperceiver.types import Clip
from videoperceiver.video.read import read_clip

GREEDY = Protocol({}, 8, None, 16, "test")


def reply(*texts, status=200, raw=None):
    def send(handler, body):
        choices = [{"message": {"content": text(body) if callable(text) else text}, "finish_reason": "length"} for text in texts]
        data = (raw if raw is not None else json.dumps({"choices": choices, "usage": {"total_tokens": 10}})).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(scope="module")
def clip() -> Clip:
    frames = np.zeros((3, 32, 48, 3), np.uint8)
    frames[:, :, :, 0] = np.array([40, 120, 200])[:, None, None]
    return Clip(frames, np.array([0.5, 1.0, 2.0]), "red")


def engine(server, tmp_path, protocol=GREEDY, **options):
    return EndpointEngine(EngineConfig(kind="endpoint", base_url=server.url, max_retries=2, timeout_s=5, **options), "served", protocol, tmp_path / "cache")


def ask(clip, *questions, sample="s"):
    return Ask(sample, "full", clip, tuple(map(str, range(len(questions)))), questions, tuple(range(len(questions))))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("videoperceiver.scoring.endpoint.ChatEndpoint._wait_s", lambda *_: 0.01)


def test_frames_go_as_images_after_their_times_and_the_question_last(server, tmp_path, clip):
    server.replies = [reply("B.")]
    assert engine(server, tmp_path).answer([ask(clip, "Which?")], GREEDY) == [[["B."]]]
    [request] = server.requests
    assert (request["model"], request["temperature"], request["max_tokens"], request["authorization"]) == ("served", 0.0, 16, "Bearer sk-test")
    assert "response_format" not in request
    assert "n" not in request
    [message] = request["messages"]
    texts = [part["text"] for part in message["content"] if part["type"] == "text"]
    assert texts == ["<0.5 seconds>", "<1.0 seconds>", "<2.0 seconds>", "Which?"]
    image = next(part for part in message["content"] if part["type"] == "image_url")["image_url"]["url"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))))
    assert pixels.shape == (32, 48, 3)
    assert abs(int(pixels[0, 0, 0]) - 40) < 6


def test_the_question_first_where_the_protocol_says_so_and_nothing_but_it_without_a_video(server, tmp_path, clip):
    server.replies = [reply("x")]
    made = engine(server, tmp_path)
    made.answer([ask(clip, "First?")], Protocol({}, 8, None, 16, "test", text_first=True))
    made.answer([ask(None, "Alone?")], GREEDY)
    first, alone = (request["messages"][0]["content"] for request in server.requests)
    assert first[0] == {"type": "text", "text": "First?"}
    assert len(first) == 7
    assert alone == [{"type": "text", "text": "Alone?"}]


def test_a_video_goes_as_one_file_with_its_own_times(clip, tmp_path):
    [part] = media_parts(clip, "video")
    data = base64.b64decode(part["video_url"]["url"].removeprefix("data:video/mp4;base64,"))
    got = read_clip(data)
    assert len(got) == 3
    assert got.t_s - got.t_s[0] == pytest.approx([0.0, 0.5, 1.5], abs=1e-3)


def test_a_videos_mean_rate_is_that_of_its_frames(clip):
    """A server reads no more: at 4 fps four frames last 1 s, not 0.75 s and a thirtieth."""
    frames = np.repeat(clip.frames[:1], 4, axis=0)
    [part] = media_parts(Clip(frames, np.arange(4) / 4 + 10, "even"), "video")
    with av.open(io.BytesIO(base64.b64decode(part["video_url"]["url"].partition(",")[2]))) as container:
        assert container.streams.video[0].average_rate == 4


def test_a_sequence_is_the_frames_as_they_are_and_their_times_beside_it(server, tmp_path, clip):
    server.replies = [reply("B."), reply("none")]
    made = engine(server, tmp_path, media="sequence")
    made.answer([ask(clip, "Which?")], GREEDY)
    made.answer([ask(None, "Alone?")], GREEDY)
    request, alone = server.requests
    url = request["messages"][0]["content"][0]["video_url"]["url"]
    sent = [np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))) for image in url.removeprefix("data:video/jpeg;base64,").split(",")]
    assert np.array_equal(sent, clip.frames)
    told = request["media_io_kwargs"]["video"]  # 0.5, 1.0 and 2.0 s: 0.75 s apart in the mean
    assert told == {"num_frames": -1, "fps": 90_000, "frames_indices": [45_000, 90_000, 180_000], "total_num_frames": 202_500, "duration": 2.25}
    assert len(told["frames_indices"]) / told["total_num_frames"] * told["fps"] == pytest.approx(1 / 0.75)  # transformers' VideoMetadata.sampled_fps
    assert "media_io_kwargs" not in alone


def test_the_longest_answer_is_called_what_the_server_calls_it(server, tmp_path):
    server.replies = [reply("x")]
    engine(server, tmp_path, limit_field="max_completion_tokens").answer([ask(None, "Which?")], GREEDY)
    assert server.requests[0]["max_completion_tokens"] == 16
    assert "max_tokens" not in server.requests[0]


def test_a_sequence_of_one_frame_has_a_rate_too():
    assert told_times(np.array([3.0]))["media_io_kwargs"]["video"]["total_num_frames"] == 90_000


def test_several_draws_come_in_one_request(server, tmp_path):
    server.replies = [reply("A", None, "C")]
    protocol = Protocol({}, 8, None, 16, "test", temperature=0.7, num_samples=3)
    assert engine(server, tmp_path, protocol).answer([ask(None, "Which?")], protocol) == [[["A", "", "C"]]]
    assert server.requests[0]["n"] == 3


@pytest.mark.parametrize(
    "failure",
    [
        reply(status=429, raw="slow down"),
        reply(status=500, raw="<html>"),
        reply(raw="not json"),
        reply(raw='{"choices": []}'),
        reply(raw='{"choices": [{"message": {"content": 7}}]}'),
        reply(raw='{"error": "x"}'),
        truncated,
        hang,
    ],
)
def test_a_passing_failure_is_tried_again(server, tmp_path, failure):
    server.replies = [failure, reply("fine")]
    assert engine(server, tmp_path).answer([ask(None, "Which?")], GREEDY) == [[["fine"]]]
    assert len(server.requests) == 2


def test_a_question_without_an_answer_spares_the_others(server, tmp_path):
    def picky(handler, body):
        bad = body["messages"][0]["content"][-1]["text"] == "Bad?"
        reply(status=500, raw="no")(handler, body) if bad else reply("ok")(handler, body)

    server.replies = [picky]
    failed, fine = engine(server, tmp_path).answer([ask(None, "Good?", "Bad?", sample="a"), ask(None, "Good?", sample="b")], GREEDY)
    assert isinstance(failed, SampleError)
    assert (failed.sample_id, "gave up" in str(failed)) == ("a", True)
    assert fine == [["ok"]]


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_stops_the_run(server, tmp_path, status):
    server.replies = [reply(status=status, raw="no")]
    with pytest.raises(EndpointError, match=f"got status {status}"):
        engine(server, tmp_path).answer([ask(None, "Which?")], GREEDY)


def test_hostile_output_is_kept_whole_and_scored(server, stand_ins, tmp_path):
    server.replies = [reply("\x1b[31m\x00" + "word " * 20_000 + "\nAnswer: C\ud800")]
    config = config_of("video-mme", stand_ins, "served", tmp_path / "run", "engine.kind=endpoint", f"engine.base_url={server.url}", "conditions=[full]")
    rows = list(iterate(evaluate.run(config).folder / "predictions.jsonl"))
    assert [(len(row["completion"]) > 100_000, row["extracted"], row["score"]) for row in rows] == [(True, "C", 1.0)] * 2


def test_an_interrupted_run_asks_nothing_twice(server, stand_ins, tmp_path):
    config = config_of(
        "tomato", stand_ins, "served", tmp_path / "run", "engine.kind=endpoint", f"engine.base_url={server.url}", "engine.num_parallel=1", "batch_size=1",
        "conditions=[full,text]", "engine.max_retries=0",
    )  # fmt: skip
    server.replies = [reply("A"), reply("B"), reply("A"), reply(status=401, raw="key expired")]
    with pytest.raises(EndpointError):
        evaluate.run(config)
    assert len(server.requests) == 4
    server.replies = [reply("C")]
    rows = list(iterate(evaluate.run(config).folder / "predictions.jsonl"))
    assert [row["extracted"] for row in rows] == ["A", "B", "A", "C"]
    assert len(server.requests) == 5
