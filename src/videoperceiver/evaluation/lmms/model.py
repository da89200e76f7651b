"""A checkpoint as an lmms-eval model: the same engine as `videoperceiver evaluate`, so that only the harness differs."""

import dataclasses
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports]

from videoperceiver.errors import SampleError
from videoperceiver.evaluation.engines import Ask, TreeEngine
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.evaluation.sampling import sample_clip
from videoperceiver.stages import ModelConfig


class VideoPerceiver(lmms):
    """`lmms_eval --model videoperceiver --model_args pretrained=RUN/model,max_num_frames=8`.

    Args:
        pretrained: checkpoint, folder or hub id.
        dtype: of its weights.
        max_num_frames: evenly spread, unless `fps` is given.
        fps: frames a second.
        max_pixels: of a frame.
        text_first: the question stands before the video.
        spread: where `max_num_frames` lie, see `evaluation.protocol.Protocol`.
        max_tokens: of a video with its questions.
        batch_size, device: accepted for lmms-eval's sake: a batch is one video's questions, and CUDA is used where it is.
    """

    def __init__(
        self,
        pretrained: str,
        dtype: str = "bfloat16",
        max_num_frames: int | str = 32,
        fps: float | str | None = None,
        max_pixels: int | str | None = None,
        text_first: bool | str = False,
        spread: Any = "ends",
        max_tokens: int | str = 16384,
        batch_size: int | str = 1,
        device: str | None = None,
    ):
        super().__init__()
        del device, batch_size
        self._engine = TreeEngine(ModelConfig(path=pretrained, dtype=dtype, max_tokens=int(max_tokens)))  # type: ignore[arg-type]
        self._protocol = Protocol(
            prompt={},
            num_frames=None if fps else int(max_num_frames),
            fps=float(fps) if fps else None,
            max_new_tokens=16,
            source="lmms-eval",
            max_pixels=int(max_pixels) if max_pixels else None,
            text_first=str(text_first).casefold() == "true",
            spread=spread,
        )

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Answers in the order of the requests; questions about one video are asked after one pass over it.

        Raises:
            SampleError: a video cannot be read or does not fit. lmms-eval has no place for a question that was not asked.
        """
        groups: dict[tuple[str, str], list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault((_video(self, request), repr(sorted(request.args[1].items()))), []).append(i)
        answers = [""] * len(requests)
        for (video, _), members in groups.items():
            self._answer(video, members, requests, answers)
        return answers

    def _answer(self, video: str, members: list[int], requests: list[Any], answers: list[str]) -> None:
        options = requests[members[0]].args[1]
        protocol = dataclasses.replace(
            self._protocol, max_new_tokens=int(options.get("max_new_tokens", 16)), temperature=float(options.get("temperature") or 0.0)
        )
        clip = sample_clip(Path(video), protocol) if video else None
        if clip is not None:
            clip = dataclasses.replace(clip, frames=self._engine.fit(clip.frames))
        texts = tuple(requests[i].args[0] for i in members)
        ask = Ask(video or "no video", "full", clip, tuple(map(str, members)), texts, tuple(members))
        [said] = self._engine.answer([ask], protocol)
        if isinstance(said, SampleError):
            raise said
        for i, [text] in zip(members, said, strict=True):
            answers[i] = _cut(text, options.get("until") or ())

    def loglikelihood(self, requests: list[Any]) -> Any:
        """Not offered: every task here is answered in words."""
        raise NotImplementedError("videoperceiver answers generate_until tasks; choose one, for instance vru_accident")

    def generate_until_multi_round(self, requests: list[Any]) -> Any:
        """Not offered."""
        raise NotImplementedError("videoperceiver answers single rounds; choose a task of one round")


def _video(model: VideoPerceiver, request: Any) -> str:
    """The video file of a request, "" for a question alone."""
    _, _, doc_to_visual, doc_id, task, split = request.args
    visuals = doc_to_visual(model.task_dict[task][split][doc_id]) if doc_to_visual else []
    if len(visuals) > 1 or any(not isinstance(visual, str) for visual in visuals):
        raise SampleError(f"got {len(visuals)} visuals, expected one path of a video; videoperceiver takes video tasks", sample_id=f"{task}/{doc_id}")
    return visuals[0] if visuals else ""


def _cut(text: str, until: Any) -> str:
    for stop in [until] if isinstance(until, str) else until:
        text = text.split(stop)[0] if stop else text
    return text
