"""Rules that captions, questions and spans must stand before they become training data, and what is known of the set as a whole (paper 3.4).

Each rule is a named function; the first one that a text does not stand drops it, with its text and the reason kept. Text is data: rules
read it, nothing in it can change what they do.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

from videoperceiver.data.validate import question_rules, text_rules, time_rules
from videoperceiver.data.validate.subject import Dropped, Part, Subject, of_caption, of_question, of_span
from videoperceiver.errors import ConfigError
from videoperceiver.plugins import suggestion
from videoperceiver.stages import ValidateConfig
from videoperceiver.types import Sample

__all__ = ["RULES", "Dropped", "Rule", "RuleRow", "Subject", "rule_table", "validate"]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        check: why a subject is refused; "" where it stands.
        parts: what it is applied to.
    """

    check: Callable[[Subject], str]
    parts: tuple[Part, ...]

    @property
    def says(self) -> str:
        """What it refuses, in a line."""
        return (self.check.__doc__ or "").strip().partition("\n")[0]


_TEXTS: tuple[Part, ...] = ("caption", "question")
_ORDER: tuple[tuple[Callable[[Subject], str], tuple[Part, ...]], ...] = (
    (text_rules.text_size, _TEXTS),
    (text_rules.control_characters, _TEXTS),
    (text_rules.injection, _TEXTS),
    (text_rules.refusal, _TEXTS),
    (text_rules.markup, _TEXTS),
    (text_rules.wrong_language, _TEXTS),
    (text_rules.bad_wording, _TEXTS),
    (question_rules.not_visible, _TEXTS),
    (time_rules.time_outside_clip, _TEXTS),
    (question_rules.no_question, ("question",)),
    (question_rules.too_few_options, ("question",)),
    (question_rules.duplicate_options, ("question",)),
    (question_rules.options_not_shown, ("question",)),
    (question_rules.answer_not_in_options, ("question",)),
    (question_rules.several_right_options, ("question",)),
    (question_rules.unreadable_answer, ("question",)),
    (time_rules.vague_time, ("question",)),
    (time_rules.contradicts_span, ("question",)),
    (question_rules.answer_leaks, ("question",)),
    (question_rules.duplicate_question, ("question",)),
    (time_rules.span_order, ("span",)),
    (time_rules.span_outside_clip, ("span",)),
)
RULES: Mapping[str, Rule] = {check.__name__: Rule(check, parts) for check, parts in _ORDER}
"""Every rule by its name, in the order in which they are applied."""


def validate(sample: Sample, duration_s: float, config: ValidateConfig) -> tuple[Sample, tuple[Dropped, ...]]:
    """What of a sample stands the rules, and what does not.

    A caption that fails is emptied, a question or span that fails is left out. Whether a sample left without any of them is of use is for the caller to say.

    Args:
        sample: with times in source seconds.
        duration_s: when the clip ends, source seconds; infinite where that is not known, and nothing is then outside it.
        config: limits, and the rules that are not applied.

    Returns:
        The very same sample where everything stands; and what was dropped, in the order caption, questions, spans.

    Raises:
        ConfigError: `skip` names a rule that does not exist.
    """
    if not config.enabled:
        return sample, ()
    rules = _rules(config.skip)
    dropped: list[Dropped] = []
    if sample.caption and (found := _first(rules["caption"], of_caption(sample.caption, duration_s, config))):
        dropped.append(Dropped(sample.id, "caption", "", *found, sample.caption))
    kept, asked = [], set()
    for question in sample.questions:
        subject = of_question(question, duration_s, config, sample.spans, asked)
        if found := _first(rules["question"], subject):
            dropped.append(Dropped(sample.id, "question", question.id, *found, question.text, asdict(question)))
        else:
            kept.append(question)
            asked.add(subject.key)
    spans = []
    for i, span in enumerate(sample.spans):
        if found := _first(rules["span"], of_span(span, duration_s, config)):
            dropped.append(Dropped(sample.id, "span", str(i), *found, span.label, asdict(span)))
        else:
            spans.append(span)
    if not dropped:
        return sample, ()
    caption = "" if dropped[0].part == "caption" else sample.caption
    return replace(sample, caption=caption, questions=tuple(kept), spans=tuple(spans)), tuple(dropped)


@dataclass(frozen=True)
class RuleRow:
    """A rule's line in the table.

    Attributes:
        rule: its name.
        says: what it refuses.
        checked: what it was applied to: everything of its parts that the rules before it had left.
        dropped: how many it refused.
        example: the first of them: reason and text, shortened.
    """

    rule: str
    says: str
    checked: int
    dropped: int
    example: str = ""

    @property
    def rate(self) -> float:
        """Share refused; 0 where there was nothing to check."""
        return self.dropped / self.checked if self.checked else 0.0


def rule_table(dropped: Iterable[Dropped], kept: Mapping[str, int], config: ValidateConfig) -> list[RuleRow]:
    """Each rule with how much it was applied to and how much it refused; then "duplicate" and "benchmark", where they refused anything.

    Args:
        dropped: everything that was left out, streamed.
        kept: what was not: part ("caption", "question", "span", "sample") -> how many.
        config: as in `validate`.
    """
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[str, str] = {}
    for item in dropped:
        counts[item.rule, item.part] += 1
        examples.setdefault(item.rule, f"{item.reason}: {_short(item.text)}")
    left = Counter(kept) + Counter(dict.fromkeys(kept, 0))
    for (_, part), num in counts.items():
        left[part] += num
    rows = []
    others = {rule: None for rule, _ in counts if rule not in RULES}
    active = {name: RULES[name].parts for name in RULES if name not in config.skip} if config.enabled else {}
    for name, parts in [*active.items(), *((other, ("sample",)) for other in others)]:
        says = RULES[name].says if name in RULES else ""
        rows.append(RuleRow(name, says, sum(left[part] for part in parts), sum(counts[name, part] for part in parts), examples.get(name, "")))
        for part in parts:
            left[part] -= counts[name, part]
    return rows


@lru_cache(maxsize=8)
def _rules(skip: tuple[str, ...]) -> dict[Part, tuple[tuple[str, Callable[[Subject], str]], ...]]:
    """Part -> its rules, by name."""
    if unknown := [name for name in skip if name not in RULES]:
        raise ConfigError(f"validate.skip names {unknown[0]!r}{suggestion(unknown[0], RULES)}; the rules are {', '.join(RULES)}")
    parts: tuple[Part, ...] = ("caption", "question", "span")
    return {part: tuple((name, rule.check) for name, rule in RULES.items() if part in rule.parts and name not in skip) for part in parts}


def _first(rules: Iterable[tuple[str, Callable[[Subject], str]]], subject: Subject) -> tuple[str, str] | None:
    """The first rule that a subject does not stand, and why."""
    for name, check in rules:
        if reason := check(subject):
            return name, reason
    return None


def _short(text: str, most: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 2]} .."
