"""Tables of the rules and of what can be guessed without looking, for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from videoperceiver.data.validate.blind import Blind


def rules_table(rows: Sequence[Mapping[str, Any]]) -> "Table":
    """What each rule refused, those that refused nothing in one line."""
    from rich.markup import escape
    from rich.table import Table

    from videoperceiver.pages.words import one_line, shorten

    shown = Table("rule", box=None, pad_edge=False)
    for head in ("checked", "dropped", "rate"):
        shown.add_column(head, justify="right", no_wrap=True)
    shown.add_column("the first of them", overflow="fold")
    hit = [row for row in rows if row["dropped"]]
    for row in hit:
        rate = f"{row['dropped'] / row['checked']:.1%}"
        shown.add_row(row["rule"], f"{row['checked']:,}", f"{row['dropped']:,}", rate, escape(one_line(shorten(row["example"], 100))))
    checked = max((row["checked"] for row in rows), default=0)
    shown.add_row(f"{'the other ' if hit else 'all '}{len(rows) - len(hit)} rules", f"{checked:,}", "0", "0.0%", "")
    return shown


def blind_table(blind: "Blind") -> "Table":
    """Guessers on all questions, then every guess above chance."""
    from rich.markup import escape
    from rich.table import Table

    from videoperceiver.data.validate.blind import ALL
    from videoperceiver.pages.words import one_line

    shown = Table(title=f"guessed without looking, of {blind.num:,} closed questions", title_justify="left", box=None, pad_edge=False)
    shown.add_column("questions")
    shown.add_column("guesser")
    for head in ("right", "99 % interval", "chance"):
        shown.add_column(head, justify="right")
    shown.add_column()
    for row in [*(row for row in blind.rows if row.family == ALL), *blind.leaking]:
        share = row.accuracy
        span = "none" if math.isnan(share.low) else f"{100 * share.low:.0f} to {100 * share.high:.0f}"
        shown.add_row(escape(one_line(row.family)), row.guesser, f"{share.value:.1%}", span, f"{row.chance:.1%}", "leaks" if row.leaks else "")
    return shown
