"""Operators that make V', by name."""

from videoperceiver.errors import ConfigError
from videoperceiver.plugins import HOW, suggestion

OPERATORS = ("hold", "predecessor", "random", "elsewhere", "shuffle", "reverse", "freeze", "blank")
"""Of V' (`video.degrade.OPERATORS`, which cannot be imported here)."""


def check_operator(name: str) -> None:
    """Refuses a mistyped operator before anything runs; one of the user's own is looked up when it is needed."""
    if name not in OPERATORS and ":" not in name:
        raise ConfigError(f"operator {name!r} is unknown{suggestion(name, dict.fromkeys(OPERATORS))}; expected one of {', '.join(OPERATORS)}, or {HOW}")
