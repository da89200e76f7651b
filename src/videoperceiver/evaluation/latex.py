"""Rows for a LaTeX table: what a paper pastes between \\midrule and \\bottomrule."""

import re
from collections.abc import Sequence

from videoperceiver.pages import ScoreTable, words

_SPECIAL = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_SPECIAL |= {"^": r"\textasciicircum{}", "′": "$'$", "–": "--", "\u00a0": "~"}


def latex_rows(tables: Sequence[ScoreTable]) -> str:
    """Every table as a booktabs tabular, percent with one digit, intervals as subscripts; "--" where nothing was measured."""
    return "\n\n".join(_tabular(table) for table in tables) + "\n"


def escaped(text: object) -> str:
    """Text that LaTeX prints as it is, on one line."""
    cleaned = " ".join(words.clean(text).split())
    return re.sub("[" + re.escape("".join(_SPECIAL)) + "]", lambda match: _SPECIAL[match[0]], cleaned)


def _tabular(table: ScoreTable) -> str:
    found = {(score.model, score.slice, score.condition): score.estimate for score in table.scores}
    heads = " & ".join([escaped(table.corner), *(escaped(f"{column.group} {column.heading}".strip()) for column in table.columns)])
    lines = [f"% {escaped(table.title)}", *([f"% {escaped(table.note)}"] if table.note else [])]
    lines += [f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}", "\\toprule", f"{heads} \\\\", "\\midrule"]
    for row in table.rows:
        cells = []
        for column in table.columns:
            value = found.get((row.name, column.slice, column.condition))
            if value is None or not words.known(value.value):
                cells.append("--")
            else:
                span = f"$_{{[{100 * value.low:.1f}, {100 * value.high:.1f}]}}$" if words.known(value.low) and words.known(value.high) else ""
                cells.append(f"{100 * value.value:.1f}{span}")
        lines.append(" & ".join([escaped(row.name), *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])
