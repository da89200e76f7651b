"""Balance as tables."""

from dataclasses import replace

from tests.data.made import CHOICE, with_event

from videoperceiver.data.card.evenness import balance_tables
from videoperceiver.data.validate.balance import balance
from videoperceiver.types import Question, Span


def test_counts_and_what_they_allow_to_say():
    yes_no = [Question("q", "Does it?", answer, "yes_no", "happens", ("yes", "no")) for answer in ["yes"] * 50 + ["no"] * 50]
    choices = [replace(CHOICE, id=str(i), answer="A" if i < 90 else "B") for i in range(100)]
    asked = [(replace(first, id="a"), second) for first, second in zip(yes_no, choices)]
    samples = [with_event(str(i), 1, questions=both, spans=(Span(0, 1, f"event {i % 20}"),)) for i, both in enumerate(asked)]
    events, answers = balance_tables(balance(samples))
    assert (len(events.rows), events.note) == (12, "20 labels; 8 less frequent ones are not listed.")
    assert events.rows[0] == ("event 0", 5)
    (places, yes) = answers.rows
    assert places == ("places of 2 options", 100, "A: 90, B: 10", "uneven (p < 0.001, effect 0.80)")
    assert yes == ("yes or no", 100, "yes: 50, no: 50", "even within chance (p 1.000)")


def test_little_and_few_are_told_apart():
    answers = ["yes"] * 5300 + ["no"] * 4700
    rows = [with_event(str(i), 1, questions=(Question("q", "Does it?", answer, "yes_no", "f"),), spans=()) for i, answer in enumerate(answers)]
    [table] = balance_tables(balance(rows))
    assert table.rows[0][3] == "little uneven (effect 0.06)"
    [table] = balance_tables(balance(rows[:3]))
    assert table.rows[0][2:] == ("yes: 3, no: 0", "too few to tell")
    assert balance_tables(balance([])) == []
