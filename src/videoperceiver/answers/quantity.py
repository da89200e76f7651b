"""Numbers and times."""

import re

from videoperceiver.answers.text import after_cue, words

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_NUMBER_WORDS = {word: i for i, word in enumerate(_UNITS)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)} | {"once": 1, "twice": 2, "thrice": 3}
_NUMBER_WORDS |= {word: i for i, word in enumerate("零一二三四五六七八九十")} | {"两": 2}
_DIGITS = r"(?<![\w.])(?:(?<!\d\s)-)?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\d|(?:st|nd|rd|th)\b)|(?<![\w.])\.\d+"
_NUMBER = re.compile(_DIGITS)
_WORD_NUMBER = re.compile(
    rf"\b({'|'.join(_TENS)})[- ]({'|'.join(_UNITS[1:10])})\b"
    rf"|(?<!\bno )(?<!\bthe )(?<!\bthis )(?<!\bthat )(?<!\beach )\b({'|'.join([*_UNITS, *_TENS, 'once', 'twice', 'thrice'])})\b(?!\s+(?:of|another|by)\b)"
    rf"|([零一二两三四五六七八九十])(?=\s*[次个下秒]|$)",
    re.IGNORECASE,
)
_NONE = re.compile(r"(?:none|never|nothing|not at all|0|zero)(?: times?)?")
_HEDGE = re.compile(r"(?:about|around|approximately|exactly|roughly|it is|it's|at|~|=|≈)?\s*", re.IGNORECASE)
_CLOCK = re.compile(r"(?<![\d:.])(?:(\d+):)?(\d{1,2}):(\d{2}(?:\.\d+)?)(?![\d:])")
_UNIT = r"(milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|毫秒|秒|分钟|分|小时)(?![a-zA-Z])"
_AMOUNT = rf"(?:{_DIGITS}|\b(?:{'|'.join(_UNITS)})\b|[零一二两三四五六七八九十])"
_DURATION = re.compile(rf"({_AMOUNT})\s*{_UNIT}", re.IGNORECASE)
_SHARED_UNIT = re.compile(r"(?<![\d.:])(\d+(?:\.\d+)?)\s*(?:-|to|or)\s*$")
_SECONDS = {"m": 60.0, "h": 3600.0, "s": 1.0, "毫": 0.001, "秒": 1.0, "分": 60.0, "小": 3600.0}


def _value(text: str) -> float:
    return float(_NUMBER_WORDS[text.casefold()]) if text.casefold() in _NUMBER_WORDS else float(text.replace(",", ""))


def _numbers(text: str) -> list[tuple[int, float]]:
    """(position, value) of every number; number words only where there are no digits."""
    found = [(match.start(), _value(match[0])) for match in _NUMBER.finditer(text)]
    if found:
        return found
    for match in _WORD_NUMBER.finditer(text):
        found.append((match.start(), _value(match[1]) + _value(match[2]) if match[1] else _value(match[3] or match[4])))
    return found


def _times(text: str) -> list[tuple[int, float]]:
    """(position, seconds) of every time; bare numbers count as seconds only where nothing has a unit."""
    found = [(match.start(), 3600 * float(match[1] or 0) + 60 * float(match[2]) + float(match[3])) for match in _CLOCK.finditer(text)]
    end = -1
    for match in _DURATION.finditer(text):
        unit = match[2].casefold()
        scale = 0.001 if unit.startswith(("ms", "milli")) else _SECONDS[unit[0]]
        seconds = _value(match[1]) * scale
        if shared := _SHARED_UNIT.search(text, max(0, match.start() - 16), match.start()):  # the 1 of "1-2 s"
            found.append((shared.start(), float(shared[1]) * scale))
        if found and end >= 0 and re.fullmatch(r"[\s,]*(?:and\s+)?", text[end : match.start()]) and unit[0] in "s秒":
            found[-1] = (found[-1][0], found[-1][1] + seconds)  # 1 min 5 s
        else:
            found.append((match.start(), seconds))
        end = match.end() if unit[0] in "mh分小" and not unit.startswith(("ms", "milli")) else -1
    return found or _numbers(text)


def _single(text: str, values: list[tuple[int, float]]) -> str | None:
    """The one value, or the one the text begins with; None for a range or for several."""
    if not values:
        return None
    distinct = {value for _, value in values}
    first, value = values[0]
    begins = _HEDGE.fullmatch(text, 0, first) is not None
    is_range = len(values) > 1 and re.fullmatch(r"[\w.:\s]*?\s*(?:[-+*/=,~]|to|or|and)\s*", text[first : values[1][0]]) is not None
    if len(distinct) > 1 and (not begins or is_range):
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def number(text: str, options: tuple[str, ...]) -> str | None:
    """The one number of a text, or the one it begins with."""
    if _NONE.fullmatch(words(text)):
        return "0"
    cued = after_cue(text)
    return (_single(cued, _numbers(cued)) if cued else None) or _single(text, _numbers(text))


def time(text: str, options: tuple[str, ...]) -> str | None:
    """The one time of a text in seconds, or the one it begins with."""
    cued = after_cue(text)
    return (_single(cued, _times(cued)) if cued else None) or _single(text, _times(text))
