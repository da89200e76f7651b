"""Keywords by a language model, as in the paper: an OpenAI-compatible endpoint or a local transformers checkpoint."""

import json
from collections.abc import Sequence
from typing import Any

from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.scoring.checkpoints import load_model, load_pretrained
from videoperceiver.scoring.endpoint import ChatEndpoint
from videoperceiver.scoring.phrases import unique

PROMPT = (
    "Extract the fine-grained event and action phrases of this text about a video: short verb phrases of things that can be seen to happen "
    '("kicks the ball", "car swerves left"). No scenery, no states, nothing that is not in the text. '
    'Answer with one JSON object {"phrases": ["..."]}; an empty list if nothing happens.\n\nText: '
)
SCHEMA = {
    "type": "object",
    "properties": {"phrases": {"type": "array", "items": {"type": "string"}}},
    "required": ["phrases"],
    "additionalProperties": False,
}


class EndpointKeywords:
    """Phrases by a chat endpoint; options as in `ChatEndpoint`. Raises EndpointError."""

    def __init__(self, **options: Any):
        self._endpoint = ChatEndpoint(**options)
        self.name = f"endpoint/{self._endpoint.model}"

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Phrases of each text, several requests at a time."""
        conversations = [[{"role": "user", "content": PROMPT + text}] for text in texts]
        return list(self._endpoint.ask_many(conversations, SCHEMA, phrases_of))


class TransformersKeywords:
    """Phrases by a local language model, decoded greedily.

    Args:
        model: hub id or folder; safetensors only.
        device: "cpu", "cuda", ..; None takes CUDA where present.
        max_new_tokens: limit of one answer.

    Raises:
        ConfigError: no model named.
        ModelError: the checkpoint cannot be loaded.
    """

    def __init__(self, model: str = "", device: str | None = None, max_new_tokens: int = 256):
        if not model:
            raise ConfigError("the keyword backend 'transformers' needs a model: an id or a folder of a causal language model")
        self.name = f"transformers/{model}"
        self._tokenizer = load_pretrained("AutoTokenizer", model, padding_side="left")
        self._model = load_model("AutoModelForCausalLM", model, device, dtype="auto")
        self._max_new_tokens = max_new_tokens

    def __call__(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Phrases of each text. Raises SampleError where the model's answer holds no JSON object with phrases."""
        return [self._extract(text) for text in texts]

    def _extract(self, text: str) -> tuple[str, ...]:
        import torch

        prompt = PROMPT + text
        if self._tokenizer.chat_template:
            prompt = self._tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        inputs = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=not self._tokenizer.chat_template).to(self._model.device)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                max_new_tokens=self._max_new_tokens,
                pad_token_id=self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._tokenizer.eos_token_id,
            )
        answer = self._tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        try:
            return phrases_of(json.JSONDecoder().raw_decode(answer[answer.index("{") :])[0])
        except (ValueError, KeyError, TypeError) as error:
            raise SampleError(f"{self.name} answered {answer[:200]!r} to the text {text[:200]!r}; expected a JSON object with phrases ({error})") from error


def phrases_of(answer: Any) -> tuple[str, ...]:
    """The phrases of a decoded answer. Raises ValueError, KeyError or TypeError where it is none."""
    phrases = answer["phrases"]
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise ValueError(f"'phrases' is {phrases!r}, expected a list of strings")
    return unique(phrases)
