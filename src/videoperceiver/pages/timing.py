"""Where the time went: one bar a phase, on one scale."""

from collections.abc import Sequence

from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.html import render
from videoperceiver.pages.reports import Phase


def timing(phases: Sequence[Phase]) -> Markup:
    """A table of phases with bars and shares; the last row is the sum."""
    total = sum(phase.seconds for phase in phases)
    longest = max((phase.seconds for phase in phases), default=0) or 1
    rows = [(phase, words.seconds(phase.seconds), _share(phase.seconds, total), f"{100 * phase.seconds / longest:.2f}%") for phase in phases]
    return render("timing", rows=rows, total=words.seconds(total))


def _share(part: float, whole: float) -> str:
    return words.percent(part / whole) if whole else words.MISSING
