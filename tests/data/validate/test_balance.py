"""data/validate/balance.py: counts by hand, and a note only where they are skewed by more than chance and little."""

import pytest

from videoperceiver.data import manifest
from videoperceiver.data.validate.balance import balance
from videoperceiver.types import Question, Sample, Span


def clip(*questions, spans=()):
    return Sample("a", "a.mp4", "", "train", "drawn", (), questions=questions, spans=tuple(spans))


def choice(answer, num=4):
    return Question("q", "What?", answer, "choice", "what", tuple(f"option {i}" for i in range(num)))


def yes_no(answer):
    return Question("q", "Is it?", answer, "yes_no", "happens", ("yes", "no"))


def count(answer):
    return Question("q", "How many?", answer, "number", "count", ("1", "2", "3"))


def test_counts_by_hand():
    items = [
        clip(choice("A"), choice("(b)"), yes_no("Yes."), count("two"), spans=[Span(0, 1, "flash"), Span(2, 3, "flash"), Span(2, 3)]),
        clip(choice("A", num=2), Question("o", "What happens?", "a ball bounces", "open", "caption")),
    ]
    found = balance(iter(items))
    assert found.events.counts == {"flash": 2, "(no label)": 1}
    assert found.families.counts == {"what": 3, "happens": 1, "count": 1, "caption": 1}
    assert found.kinds.counts == {"choice": 3, "yes_no": 1, "number": 1, "open": 1}
    assert {num: tally.counts for num, tally in found.positions.items()} == {2: {"A": 1, "B": 0}, 4: {"A": 1, "B": 1, "C": 0, "D": 0}}
    assert found.yes_no.counts == {"yes": 1, "no": 0}
    assert found.answers["count"].counts == {"1": 0, "2": 1, "3": 0}
    assert found.notes == []  # too few to tell
    assert found.positions[4].p_value is None


def test_skewed_places_are_noted_with_their_p_value():
    """70, 10, 10, 10 of 100: chi2 = 45^2/25 + 3 * 15^2/25 = 108, effect sqrt(1.08)."""
    found = balance(clip(choice(letter)) for letter in "A" * 70 + "B" * 10 + "C" * 10 + "D" * 10)
    tally = found.positions[4]
    assert tally.effect == pytest.approx(1.08**0.5)
    assert tally.p_value == pytest.approx(2.96e-23, rel=0.01)
    assert found.notes == ["places of 4 options: 'A' is 70% of 100, where 25% would be even (p = 3e-23)"]


def test_what_chance_or_little_explains_is_not_noted():
    assert balance(clip(yes_no(answer)) for answer in ["yes"] * 55 + ["no"] * 45).notes == []  # p = 0.32
    assert balance(clip(yes_no(answer)) for answer in ["yes"] * 5_200 + ["no"] * 4_800).notes == []  # p = 6e-5, effect 0.04
    assert len(balance(clip(yes_no(answer)) for answer in ["yes"] * 80 + ["no"] * 20).notes) == 1


def test_classes_that_differ_from_question_to_question_are_not_compared():
    one = Question("q", "Which first?", "ball", "word", "order", ("ball", "man"))
    other = Question("q", "Which first?", "dog", "word", "order", ("dog", "cat"))
    assert balance([clip(one), clip(other)]).answers == {}


def test_a_rendered_manifest(rendered):
    found = balance(manifest.Manifest(rendered))
    assert sum(found.families.counts.values()) == sum(found.kinds.counts.values()) > 40
    assert set(found.answers) >= {"flash_colour", "when", "count"}
    assert found.events.num > 10
