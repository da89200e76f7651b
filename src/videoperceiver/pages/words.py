"""Numbers and text as a reader should see them: units, signs, intervals, and no control characters."""

import math
import unicodedata
from collections.abc import Sequence
from typing import TypeGuard

from videoperceiver.pages.records import Estimate

MISSING = "–"
MINUS = "\u2212"
NO_DIFFERENCE = "no difference that this run can show"


def clean(text: object) -> str:
    """Make any text safe to show: control, bidirectional-override and unpaired surrogate characters become visible marks.

    Model output and file names can hold terminal escapes; markup is escaped by the templates, this removes what escaping leaves.
    """
    text = str(text)
    return text if text.isascii() and text.isprintable() else "".join(_visible(char) for char in text)  # pictures are long and plain


def one_line(text: object) -> str:
    """`clean`, with line breaks and tabs as visible marks too: a name in a list keeps to its line."""
    return clean(text).replace("\n", "\u2424").replace("\t", "\u2409")


def _visible(char: str) -> str:
    code = ord(char)
    if char in "\n\t":
        return char
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures block: ESC becomes ␛
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\u200d\u00ad" else char


def shorten(text: object, limit: int) -> str:
    """Cut to at most `limit` characters, telling how many are left out."""
    text = str(text)
    if len(text) <= limit:
        return text
    tail = f" … ({len(text):,} characters)" if limit >= 60 else "…"
    return text[: max(limit - len(tail), 1)].rstrip() + tail


def seconds(value: float | None) -> str:
    """A duration: `0.25 s`, `12.4 s`, `3 min 20 s`, `1 h 05 min`."""
    if not known(value):
        return MISSING
    if round(value, 2) < 10:
        return f"{value:.2f} s"
    if round(value, 1) < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(t_s: float) -> str:
    """A time in a clip without its unit: `0.75`, `12.4`; from a minute on as a clock shows it, `2:05.3`, `1:02:05`."""
    if round(abs(t_s), 2) < 10:
        return signed(f"{t_s:.2f}")
    if round(abs(t_s), 1) < 60:
        return signed(f"{t_s:.1f}")
    tenths = round(abs(t_s) * 10)
    minutes, rest = divmod(tenths, 600)
    text = f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}" if minutes >= 60 else f"{minutes}:{rest // 10:02d}.{rest % 10}"
    return text if t_s >= 0 else MINUS + text


def at(t_s: float) -> str:
    """A time in a clip with its unit, where it needs one: `0.75 s`, `12.4 s`, `2:05.3`."""
    text = moment(t_s)
    return text if ":" in text else f"{text} s"


def stretch(start_s: float, end_s: float) -> str:
    """From when to when: `5.73 to 6.10 s`; one moment where both read the same: `13.5 s`."""
    return at(end_s) if moment(start_s) == moment(end_s) else f"{moment(start_s)} to {at(end_s)}"


def signed(text: str) -> str:
    """Use a true minus sign."""
    return text.replace("-", MINUS)


def number(value: object) -> str:
    """Any setting or scalar: floats with four significant digits, integers with separators from 10,000."""
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value) or "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(value)
    if isinstance(value, float) and not value.is_integer():
        if not math.isfinite(value):
            return MISSING
        return signed(_scientific(value) if 0 < abs(value) < 1e-3 else f"{value:.4g}")
    return signed(f"{int(value):,}" if abs(value) >= 10_000 else f"{int(value)}")


def percent(value: float | None, digits: int = 0) -> str:
    """A share between 0 and 1 as `39 %`."""
    return f"{100 * value:.{digits}f}\u00a0%" if known(value) else MISSING


def points(value: float | None, digits: int = 1) -> str:
    """A signed difference of shares as `+22.0`, in points."""
    return signed(f"{100 * value:+.{digits}f}") if known(value) else MISSING


def interval(estimate: Estimate, digits: int = 1, sign: bool = False) -> str:
    """The 95 % interval as `33.1 to 45.4`, or nothing where there is none."""
    if not (known(estimate.low) and known(estimate.high)):
        return ""
    form = f"{'+' if sign else ''}.{digits}f"
    return signed(f"{100 * estimate.low:{form}} to {100 * estimate.high:{form}}")


def _scientific(value: float) -> str:
    """`2.5e-4`: the shortest mantissa of at most three digits."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def known(value: float | None) -> TypeGuard[float]:
    """Whether there is a finite number to show."""
    return value is not None and math.isfinite(value)


def p_value(value: float | None) -> str:
    """`0.032`, `< 0.001`."""
    return MISSING if not known(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def listing(items: Sequence[str], limit: int = 8) -> str:
    """`a, b and c`, cut after `limit` with the count of the rest."""
    items = [str(item) for item in items]
    if len(items) > limit:
        items = [*items[:limit], f"{len(items) - limit} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 clip`, `12 clips`."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def verdict(estimate: Estimate) -> str:
    """What a difference with its interval allows one to say."""
    if not known(estimate.value):
        return "not measured"
    if not (known(estimate.low) and known(estimate.high)):
        return "no interval, so no conclusion"
    if estimate.low > 0:
        return "higher; the interval excludes zero"
    if estimate.high < 0:
        return "lower; the interval excludes zero"
    return NO_DIFFERENCE
