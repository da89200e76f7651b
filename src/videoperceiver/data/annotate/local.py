"""Captions and questions by a model of this machine, through transformers: the endpoint's prompts and the endpoint's reader."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from videoperceiver.data.annotate.author import LEDGER, Asked, Author
from videoperceiver.data.annotate.reading import Read, read_answer, schema_of
from videoperceiver.data.annotate.wording import UnusableError, shown
from videoperceiver.errors import SampleError
from videoperceiver.scoring.answer_cache import AnswerCache
from videoperceiver.scoring.checkpoints import load_model, load_pretrained
from videoperceiver.scoring.pictures import time_in_words
from videoperceiver.scoring.spending import Ledger
from videoperceiver.stages import AnnotateConfig
from videoperceiver.types import Clip, Sample


class TransformersAnnotator:
    """Shows frames with their times to a local image-text-to-text model, decoded greedily; an answer that cannot be used is not tried again.

    Args:
        config: what to write, and the model's folder or hub id.
        cache_folder: of answers, by model, prompt and frames.
        device: "cpu", "cuda", ..; None takes CUDA where present.

    Raises:
        ModelError: the checkpoint cannot be loaded.
    """

    needs_frames = True

    def __init__(self, config: AnnotateConfig, cache_folder: Path, device: str | None = None):
        self._processor = load_pretrained("AutoProcessor", config.model)
        self._model = load_model("AutoModelForImageTextToText", config.model, device, dtype="auto")
        self._author = Author(config, f"transformers/{Path(config.model).name if Path(config.model).is_dir() else config.model}")
        self.name, self.version = self._author.name, self._author.version
        self._max_new_tokens = config.max_answer_tokens
        self._cache = AnswerCache(cache_folder)
        self._ledger = Ledger(cache_folder / LEDGER, token_budget=sys.maxsize)
        self._counts = {"failed": 0, "kept": 0}

    def annotate(self, items: Iterable[tuple[Sample, Clip | None]]) -> Iterator[Sample | SampleError]:
        """Samples in order, one after the other."""
        for sample, clip in items:
            try:
                asked = self._author.asked(sample, clip)
                yield sample if asked is None else self._author.annotated(sample, self._read(sample, asked))
            except SampleError as error:
                self._counts["failed"] += 1
                yield error

    def spent(self) -> dict[str, Any]:
        """What was written, and how many tokens went through the model over all sessions of the run; `kept` answers took none in this one."""
        return {**self._author.spent(), **self._counts, **self._ledger.summary()}

    def _read(self, sample: Sample, asked: Asked) -> Read:
        prompt = json.dumps([self.name, asked.system, asked.request, asked.wanted.shown_s, self._max_new_tokens])
        key = hashlib.sha256(prompt.encode() + str(asked.frames.shape).encode() + asked.frames.tobytes()).hexdigest()
        answer = self._cache.get(key)
        if answer is None:
            answer = self._say(asked)
            self._cache.put(key, answer)
        else:
            self._counts["kept"] += 1
        try:
            return read_answer(_json_in(answer), asked.wanted)
        except (ValueError, RecursionError) as error:
            reason = error if isinstance(error, UnusableError) else f"expected one JSON object, got {shown(answer)}"
            raise SampleError(f"it could not be annotated: {self.name}: {reason}", path=sample.video, sample_id=sample.id) from error

    def _say(self, asked: Asked) -> str:
        """The model's answer; special tokens left out."""
        import torch

        content: list[dict[str, Any]] = []
        for frame, time in zip(asked.frames, asked.wanted.shown_s, strict=True):
            content += [{"type": "text", "text": time_in_words(time)}, {"type": "image", "image": Image.fromarray(frame)}]
        content.append({"type": "text", "text": f"{asked.request}\n\nThe schema: {json.dumps(schema_of(asked.wanted))}"})
        messages = [{"role": "system", "content": [{"type": "text", "text": asked.system}]}, {"role": "user", "content": content}]
        inputs = self._processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt")
        length = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            output = self._model.generate(**inputs.to(self._model.device), do_sample=False, max_new_tokens=self._max_new_tokens)
        new = output[0, length:]
        self._ledger.charge(length, len(new))
        return self._processor.decode(new, skip_special_tokens=True)


def _json_in(text: str) -> Any:
    """The first JSON object of a text. Raises ValueError where there is none."""
    return json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
