"""V' at evaluation time: which of the frames seen carry what a question asks about, and what is shown in their place.

The functions are stage 0's (paper 3.1), applied to each question's own words: its text without the prompt around it, and its options, never
its answer. Questions of one video may so get different versions of it.
"""

import hashlib
from collections.abc import Mapping, Sequence

from videoperceiver.data.locate import locate
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.scoring.keywords import KeywordExtractor, load_keywords
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.stages import EvidenceConfig
from videoperceiver.types import Clip, Degradation, Question, Sample


class Evidence:
    """Makes V' for the questions of a clip.

    Args:
        config: keywords, relevance, operator.
        protocol: whose texts are not part of a question.
        seed: of the random operators; each sample derives its own.

    Raises:
        ConfigError, MissingExtraError, ModelError: a backend cannot be had.
    """

    def __init__(self, config: EvidenceConfig, protocol: Protocol, seed: int):
        self._config, self._protocol, self._seed = config, protocol, seed
        self.scorer: RelevanceScorer = load_relevance(f"{config.relevance}:{config.relevance_model}" if config.relevance_model else config.relevance)
        self._extract: KeywordExtractor | None = None if config.keywords == "question" else load_keywords(config.keywords)

    def degradations(self, sample: Sample, clip: Clip) -> Mapping[str, Degradation | None]:
        """Question id -> how its V' is made; None where nothing would be replaced, or where the question names nothing to look for."""
        wanted = [self._keywords(question) for question in sample.questions]
        found: dict[tuple[str, ...], Degradation | None] = {}
        described = self.scorer.describe(clip.frames)
        for keywords in wanted:
            key = keywords if self.scorer.needs_keywords or keywords else ()
            if key not in found:
                found[key] = None if self.scorer.needs_keywords and not key else self._locate(sample, clip, described, key)
        return {question.id: found[keywords] for question, keywords in zip(sample.questions, wanted, strict=True)}

    def _locate(self, sample: Sample, clip: Clip, described, keywords: Sequence[str]) -> Degradation | None:  # noqa: ANN001
        config = self._config
        scores = self.scorer.relate(described, clip.t_s, keywords)
        return locate(
            scores, clip.t_s, operator=config.operator, seed=self._seed_of(sample), prominence=config.prominence, rel_height=config.rel_height
        ).degradation

    def _keywords(self, question: Question) -> tuple[str, ...]:
        asked = self._protocol.bare(question.text)
        options = [option.partition(". ")[2] or option for option in question.options]
        texts = tuple(text for text in (asked, *(option for option in options if option not in asked)) if text.strip())
        return texts if self._extract is None else tuple(dict.fromkeys(word for words in self._extract(texts) for word in words))

    def _seed_of(self, sample: Sample) -> int:
        return int.from_bytes(hashlib.sha256(f"{self._seed}/{sample.id}".encode()).digest()[:4])
