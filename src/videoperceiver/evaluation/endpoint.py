"""An OpenAI-compatible server as an engine: vLLM's `vllm serve`, and closed models, in the same harness as our checkpoints."""

import base64
import io
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from videoperceiver.errors import SampleError
from videoperceiver.evaluation.engines import Ask, Said
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.scoring.endpoint import ChatEndpoint, Messages, NoAnswerError
from videoperceiver.scoring.pictures import timed_pictures
from videoperceiver.stages import EngineConfig
from videoperceiver.types import Clip
from videoperceiver.video.write import write_timed

TICKS_A_SECOND = 90_000
"""Unit of the times of a sequence: whole numbers at every usual rate."""


class AnswerEndpoint(ChatEndpoint):
    """The chat client, for answers in words: no schema is asked for, and an answer cut off at its limit is an answer.

    Args:
        protocol: decoding: tokens, temperature, draws.
        limit_field: what the server calls the longest answer.
        options: of `ChatEndpoint`.
    """

    def __init__(self, protocol: Protocol, limit_field: str, **options: Any):
        super().__init__(max_answer_tokens=protocol.max_new_tokens, **options)
        self._protocol, self._limit_field = protocol, limit_field

    def say(self, messages: Messages, seed: int, extra: Mapping[str, Any] | None = None) -> list[str]:
        """One text a draw.

        Args:
            messages: of one conversation.
            seed: of its draws.
            extra: further fields of the request.

        Raises:
            NoAnswerError: no usable answer after all tries.
            EndpointError: a refusal that a retry cannot mend, or the budget is spent.
        """
        return self.ask(messages, {"seed": seed, **(extra or {})}, _texts)

    def _payload(self, messages: Messages, schema: Mapping[str, Any]) -> dict[str, Any]:
        decoding = {"temperature": self._protocol.temperature, self._limit_field: self._protocol.max_new_tokens, **schema}
        several = {"n": self._protocol.num_samples} if self._protocol.num_samples > 1 else {}
        return {"model": self.model, "messages": [dict(message) for message in messages], **decoding, **several}

    def _answer(self, body: Any) -> Any:
        """The texts of all draws; an empty one is an answer that says nothing."""
        choices = body["choices"]
        if len(choices) != self._protocol.num_samples:
            raise ValueError(f"{len(choices)} answers, expected {self._protocol.num_samples}")
        return [choice["message"]["content"] or "" for choice in choices]


def _texts(content: Any) -> list[str]:
    if not all(isinstance(text, str) for text in content):
        raise TypeError("an answer is no text")
    return list(content)


class EndpointEngine:
    """A server's model. The video comes first and its bytes are the same for all its questions, so that a server with a prefix cache shares it.

    Args:
        config: server, media, limits.
        model: the server's name of it.
        protocol: decoding.
        cache_folder: answers by request, so that an interrupted run asks nothing twice.

    Raises:
        ConfigError: no base URL.
    """

    sees = True

    def __init__(self, config: EngineConfig, model: str, protocol: Protocol, cache_folder: Path):
        self.name, self._media = model, config.media
        self._num_parallel = config.num_parallel
        self._chat = AnswerEndpoint(
            protocol,
            config.limit_field,
            base_url=config.base_url,
            model=model,
            timeout_s=config.timeout_s,
            max_retries=config.max_retries,
            token_budget=config.token_budget,
            cache_folder=cache_folder,
            num_parallel=config.num_parallel,
        )

    def fit(self, frames: np.ndarray) -> np.ndarray:
        """The server resizes."""
        return frames

    def answer(self, asks: Sequence[Ask], protocol: Protocol) -> list[Said | SampleError]:
        """Several asks at a time; one whose questions get no answer is told apart from the others."""
        with ThreadPoolExecutor(self._num_parallel) as pool:
            futures = [pool.submit(self._answer, ask, protocol) for ask in asks]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _answer(self, ask: Ask, protocol: Protocol) -> Said | SampleError:
        """One ask's questions in turn: the server still has their video, and only as many encoded videos are held as requests are in flight."""
        media = [] if ask.clip is None else media_parts(ask.clip, self._media)
        extra = told_times(ask.clip.t_s) if ask.clip is not None and self._media == "sequence" else {}
        prompts = [conversation(media, text, text_first=protocol.text_first) for text in ask.questions]
        try:
            return [self._chat.say(prompt, seed, extra) for prompt, seed in zip(prompts, ask.seeds, strict=True)]
        except NoAnswerError as error:
            return SampleError(f"the endpoint gave no answer: {error}", sample_id=ask.sample_id)


def conversation(media: Sequence[Mapping[str, Any]], text: str, *, text_first: bool) -> list[dict[str, Any]]:
    """One user message of media and question."""
    asked = {"type": "text", "text": text}
    return [{"role": "user", "content": [asked, *media] if text_first else [*media, asked]}]


def media_parts(clip: Clip, media: str) -> list[dict[str, Any]]:
    """A clip as JPEG images, each after its time in words; as one MP4 with its own times; or as vLLM's sequence of images, whose times go beside it."""
    if media == "sequence":
        images = ",".join(_encoded(_png(frame)) for frame in clip.frames)  # vLLM calls it video/jpeg, and reads any image
        return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{images}"}}]
    if media == "video":
        return [{"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{_encoded(_mp4(clip))}"}}]
    return timed_pictures(clip.frames, clip.t_s.tolist())


def told_times(t_s: np.ndarray) -> dict[str, Any]:
    """How vLLM is told the times of a sequence's frames, per request; it then takes them all, and no file's rate has a say.

    Frame i is number t_i in a video of 90,000 frames a second, of which as many exist as make the mean spacing: Qwen3-VL reads the times of the frames from
    it, Qwen2.5-VL the rate at which they were sampled.

    Args:
        t_s: (T,) increasing seconds.

    Returns:
        The request's `media_io_kwargs`, for a server started with --trust-request-mm-kwargs.
    """
    total = max(len(t_s), round(len(t_s) * _spacing_s(t_s) * TICKS_A_SECOND))
    numbers = [round(t * TICKS_A_SECOND) for t in t_s.tolist()]
    video = {"num_frames": -1, "fps": TICKS_A_SECOND, "frames_indices": numbers, "total_num_frames": total, "duration": total / TICKS_A_SECOND}
    return {"media_io_kwargs": {"video": video}}


def _spacing_s(t_s: np.ndarray) -> float:
    return float(t_s[-1] - t_s[0]) / (len(t_s) - 1) if len(t_s) > 1 else 1.0


def _png(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _mp4(clip: Clip) -> bytes:
    """With the frames' own times; the last frame lasts as long as the mean one, so that a server which knows only a file's mean rate finds it."""
    pairs = zip(clip.frames, clip.t_s.tolist(), strict=True)
    with tempfile.TemporaryDirectory() as folder:
        return write_timed(pairs, Path(folder) / "clip.mp4", fps=1 / _spacing_s(clip.t_s)).read_bytes()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
