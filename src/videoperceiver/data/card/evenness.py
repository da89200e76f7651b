"""How evenly a data set asks, as tables of its card."""

from videoperceiver.data.validate.balance import Balance, Tally
from videoperceiver.pages import words
from videoperceiver.pages.count_table import CountTable

SHOWN = 12


def balance_tables(even: Balance) -> list[CountTable]:
    """Classes of events, and the counts that should be even; tables of what there is none of are left out."""
    tables = []
    if even.events.num:
        listed = list(even.events.counts.items())[:SHOWN]
        more = len(even.events.counts) - len(listed)
        note = f"{words.plural(len(even.events.counts), 'label')}{f'; {more:,} less frequent ones are not listed' if more else ''}."
        tables.append(CountTable("Classes of events", ("label", "events"), listed, bar=1, note=note))
    tested = [tally for tally in even.tested if tally.num]
    if tested:
        rows = [(tally.name, tally.num, _counts(tally), _verdict(tally)) for tally in tested]
        note = "Where counts are uneven, a model gains by preferring the most frequent answer. Questions of one clip are taken as independent."
        tables.append(CountTable("Right answers", ("of", "questions", "how often each is right", "against even counts"), rows, note=note))
    return tables


def _counts(tally: Tally) -> str:
    return ", ".join(f"{words.shorten(value, 40)}: {count:,}" for value, count in tally.counts.items())


def _verdict(tally: Tally) -> str:
    if tally.p_value is None:
        return "too few to tell"
    if tally.is_skewed:
        return f"uneven (p {words.p_value(tally.p_value)}, effect {tally.effect:.2f})"
    return f"even within chance (p {words.p_value(tally.p_value)})" if tally.p_value >= 0.01 else f"little uneven (effect {tally.effect:.2f})"
