"""Captions and questions by a model behind any OpenAI-compatible chat endpoint that takes pictures (closed models, `vllm serve`)."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from videoperceiver.data.annotate.author import LEDGER, Asked, Author
from videoperceiver.data.annotate.reading import Read, read_answer, schema_of
from videoperceiver.errors import SampleError
from videoperceiver.scoring.endpoint import ChatEndpoint, NoAnswerError
from videoperceiver.scoring.pacing import Pace
from videoperceiver.scoring.pictures import timed_pictures
from videoperceiver.scoring.spending import Ledger
from videoperceiver.stages import AnnotateConfig
from videoperceiver.types import Clip, Sample

RETRY_TEMPERATURE = 0.7
"""Of tries after an answer that cannot be used; the first is greedy."""


class EndpointAnnotator:
    """Shows frames with their times to a server's model.

    Several requests are under way at once. Answers are kept by prompt and frames, and what they cost beside them, so that a run that was interrupted, or
    stopped by its budget, goes on without paying twice.

    Args:
        config: what to write, and the server.
        cache_folder: of answers and costs.

    Raises:
        ConfigError: no URL or model.
        MissingExtraError: httpx is not installed.
    """

    needs_frames = True

    def __init__(self, config: AnnotateConfig, cache_folder: Path):
        server = config.server
        self._ledger = Ledger(
            cache_folder / LEDGER,
            token_budget=server.token_budget,
            cost_budget=server.cost_budget,
            price_prompt=server.price_prompt,
            price_answer=server.price_answer,
        )
        self._chat = ChatEndpoint(
            base_url=server.base_url,
            model=config.model,
            timeout_s=server.timeout_s,
            max_retries=server.max_retries,
            max_answer_tokens=config.max_answer_tokens,
            limit_field=server.limit_field,
            cache_folder=cache_folder,
            num_parallel=server.num_parallel,
            ledger=self._ledger,
            pace=Pace(server.requests_per_minute, server.tokens_per_minute),
            retry_temperature=RETRY_TEMPERATURE,
        )
        self._author = Author(config, f"endpoint/{self._chat.model}")
        self.name, self.version = self._author.name, self._author.version
        self._failed = 0

    def annotate(self, items: Iterable[tuple[Sample, Clip | None]]) -> Iterator[Sample | SampleError]:
        """Samples in order; one whose answer cannot be used after all tries is an error of its own.

        Raises:
            EndpointError: a server that answers nobody, or a spent budget.
        """
        for sample, found in self._chat.each(self._ask, items):
            if isinstance(found, SampleError):
                self._failed += 1
            yield self._author.annotated(sample, found) if isinstance(found, Read) else found

    def spent(self) -> dict[str, Any]:
        """What was written, and what it cost over all sessions of the run; `kept` answers cost nothing in this one."""
        return {**self._author.spent(), "failed": self._failed, "kept": self._chat.cache_hits, **self._ledger.summary()}

    def _ask(self, item: tuple[Sample, Clip | None]) -> tuple[Sample, Read | Sample | SampleError]:
        sample, clip = item
        try:
            asked = self._author.asked(sample, clip)
            if asked is None:
                return sample, sample
            return sample, self._chat.ask(messages_of(asked), schema_of(asked.wanted), reader_of(asked))
        except SampleError as error:
            return sample, error
        except NoAnswerError as error:
            return sample, SampleError(f"it could not be annotated: {error}", path=sample.video, sample_id=sample.id)


def messages_of(asked: Asked) -> list[dict[str, Any]]:
    """The conversation: instructions, then each frame after its time, then what is wanted."""
    request = {"type": "text", "text": asked.request}
    content = [*timed_pictures(asked.frames, asked.wanted.shown_s), request]
    return [{"role": "system", "content": asked.system}, {"role": "user", "content": content}]


def reader_of(asked: Asked) -> Callable[[Any], Read]:
    """Reads an answer as one to this request."""
    return lambda answer: read_answer(answer, asked.wanted)
