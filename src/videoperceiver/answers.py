"""Read an answer out of a completion and compare it with a reference: one parser for rewards and for metrics.

`extract` never guesses: where a completion gives no answer, or two, it returns None and `compare` returns NaN. Rewards mask
that; metrics count it as unparsed and wrong. An answer is looked for in `<answer>..</answer>`, then in `\\boxed{..}`, then after
the last "the answer is", then at the start of the text and in its last line; text inside `<think>` is never read.
Linear in the length of the completion, of which at most `MAX_CHARS` are read (the first and the last half).
"""

import math
import re
import unicodedata
from functools import lru_cache

from videoperceiver.errors import SampleError
from videoperceiver.types import QuestionKind

MAX_CHARS = 8_000
TIME_TOLERANCE_S = 0.5
"""Default for kind "time": half the longest transient event (paper 3.4)."""

_SPECIAL = re.compile(r"<\|[^|<>]{1,40}\|>|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060\ufeff\ufffd]")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_MARKDOWN = re.compile(r"[*`$]+|~~+|__+|^[#>\s]+|\\(?=[()\[\]])", re.MULTILINE)
_SPACES = re.compile(r"[^\S\n]+")
_PUNCTUATION = str.maketrans({"。": ".", "、": ",", "−": "-", "–": "-", "—": "-", "’": "'", "【": "[", "】": "]", "「": "(", "」": ")"})
_CUE = re.compile(
    r"\b(?:answer|option|choice)(?:\s+(?:choice|option|letter))?\s*(?:(?:is|are|would\s+be|should\s+be|must\s+be)\b|[:=]|->)[\s:]*"
    r"|(?:答案|选项)\s*(?:应该|应)?[是为选:]*\s*|应?选择?[:项]?\s*(?=[(\[]?[A-Za-z])",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"(?:\bnot|n't|\bnever|\bno|\bneither|\bnor|\brather\s+than|\binstead\s+of|\bexcept|不是|不)\s+(?:(?:an?|the|option|answer|choice)\s+)?[(\[]?$",
    re.IGNORECASE,
)


def extract(completion: str | None, kind: QuestionKind, options: tuple[str, ...] = ()) -> str | None:
    """The answer a completion gives, in canonical form.

    Args:
        completion: what the model wrote, special tokens and reasoning included.
        kind: "choice" gives an upper-case letter; "number" a decimal number; "time" seconds; "yes_no" "yes" or "no"; "word" the option, or
            without options the normalised text; "order" events joined by " > ", or the option; "open" the text itself.
        options: the answer class. For "choice" in the order of the letters, with or without their labels ("B. red", "D.Drivers").

    Returns:
        The canonical answer; None where there is none, or more than one.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in _READERS:
        raise ValueError(f"question kind is {kind!r}, expected one of {', '.join(_READERS)}")
    text = _clean(completion) if completion else ""
    return _READERS[kind](text, tuple(options)) if text else None


def compare(completion: str | None, reference: str, kind: QuestionKind, options: tuple[str, ...] = (), tolerance: float | None = None) -> float:
    """1.0 for a right answer, 0.0 for a wrong one, NaN where none can be read, and for kind "open" (scored by entailment).

    Args:
        completion: what the model wrote.
        reference: the right answer, written as a model may write it.
        kind: how both are read, see `extract`.
        options: the answer class.
        tolerance: largest |difference| that is right, for "number" (default 0) and "time" (seconds, default `TIME_TOLERANCE_S`).

    Raises:
        SampleError: the reference itself cannot be read as an answer of this kind.
    """
    if kind == "open":
        return math.nan
    wanted = _reference(reference, kind, tuple(options))
    given = extract(completion, kind, options)
    if given is None:
        return math.nan
    if kind in ("number", "time"):
        allowed = tolerance if tolerance is not None else (TIME_TOLERANCE_S if kind == "time" else 0.0)
        return float(abs(float(given) - float(wanted)) <= allowed + 1e-9)
    if kind == "choice" and options:
        texts = _option_texts(tuple(options))
        given, wanted = texts.get(given, given) or given, texts.get(wanted, wanted) or wanted  # two options of one wording are one answer
    return float(given == wanted)


@lru_cache(maxsize=65_536)
def _reference(reference: str, kind: QuestionKind, options: tuple[str, ...]) -> str:
    wanted = extract(reference, kind, options)
    if wanted is None:
        listed = f" with options {list(options)}" if options else ""
        raise SampleError(f"reference answer {reference!r} cannot be read as kind {kind!r}{listed}; correct the annotation or its kind")
    return wanted


def _clean(completion: str) -> str:
    """The part that holds the answer, without reasoning, markup and control characters."""
    text = completion
    if "</think>" in text:
        text = text[text.rindex("</think>") + 8 :]
    elif "<think>" in text and "<answer>" not in text:
        return ""  # cut off before it came to an answer
    if "<answer>" in text:
        text = text[text.rindex("<answer>") + 8 :].partition("</answer>")[0]
    if "\\boxed" in text:
        text = _boxed(text)
    if len(text) > MAX_CHARS:
        text = text[: MAX_CHARS // 2] + "\n" + text[-MAX_CHARS // 2 :]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_PUNCTUATION)
    text = _WRAPPED.sub(r"\1", _SPECIAL.sub("", text))
    return _SPACES.sub(" ", _MARKDOWN.sub("", text)).strip()


def _boxed(text: str) -> str:
    """What the last \\boxed{..} holds, inner braces included; the text itself if it is not closed."""
    start = text.rindex("\\boxed") + 6
    depth = 0
    for i in range(start, min(len(text), start + MAX_CHARS)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[start:i].lstrip("{") if i > start else text
    return text


def _after_cue(text: str) -> str | None:
    """What follows the last "the answer is" on its line; None without one."""
    ends = [match.end() for match in _CUE.finditer(text)]
    return text[ends[-1] :].partition("\n")[0].strip() if ends else None


def _words(text: str) -> str:
    """Case-folded, without outer punctuation and leading articles, single spaces: what two wordings are compared by."""
    text = " ".join(text.casefold().split()).strip(" .,:;!?\"'()[]{}")
    return re.sub(r"^(?:an?|the) ", "", text)


# --- choice ---

_AMBIGUOUS = "?"
_LETTER = (
    r"(?:[(\[{]?\s*([A-Za-z])\s*[)\]}]"  # (b) [B] b)
    r"|([A-Z])\s*[.:,](?![A-Za-z]\.)"  # B. B: D.Drivers, but not A.M.
    r"|([B-HJ-Z])(?![\w'\-.])"  # B because
    r"|([AI])(?=\s*$|\s*[;!?\n\"'/]|\s+(?:is|because|since|as|and|or)\b))"  # A and I are words: only where nothing else can be meant
)
_LEADING = re.compile(r"[\s\"']*" + _LETTER)
_LEADING_LOWER = re.compile(r"\s*(?:([b-hj-z])(?![\w'\-])|(a)(?=[\s.]*$))")
_BARE = re.compile(r"[\s\"'(\[]*([A-Za-z])[\s\"').\]:;,!]*")
_NAMED = re.compile(r"(?:the\s+)?(?:option|choice|letter)\s*:?\s*", re.IGNORECASE)
_SECOND = re.compile(r"[\s,;/&+]*(?:(?:and|or)\s+)?[(\[]?([A-Z])[)\]]?(?=\s*(?:[.,;/&)]|$)|\s+(?:and|or)\b)")
_LINE_LABEL = re.compile(r"^\s*[(\[]?([A-Z])[)\].:](?![A-Za-z]\.)", re.MULTILINE)
_LABEL = re.compile(r"(?<![\w.'\-])[(\[]?([A-Z])[)\].:](?=\s)")
_CHOSEN = re.compile(
    r"(?:\b(?i:choose|chose|pick|select|go\s+with|say|think|believe|it's|is|so|therefore|thus|hence|option|choice|answer)|[,.;:?])\s*:?\s*"
    + _LETTER
    + r"(?=[.!?)\]\"']*\s*$|\s*is\s+(?:the\s+)?(?:correct|right|best|answer|true))"
)
_BRACKETED = re.compile(r"[(\[]\s*([A-Za-z])\s*[)\]]")
_OWN_LABEL = re.compile(r"\s*(?:[(\[]([A-Z])[)\]]|([A-Z])\s*[.):]|([A-Z])\s*$)\s*")


@lru_cache(maxsize=65_536)
def _option_texts(options: tuple[str, ...]) -> dict[str, str]:
    """Letter -> normalised wording without its own label; "" where the option is a bare letter."""
    texts = {}
    for i, option in enumerate(options):
        letter = chr(ord("A") + i)
        own = _OWN_LABEL.match(option)
        texts[letter] = _words(option[own.end() :] if own is not None and letter in own.groups() else option)
    return texts


def _choice(text: str, options: tuple[str, ...]) -> str | None:
    texts = _option_texts(options)
    letters = "".join(texts) or "ABCDEFGHIJ"
    if bare := _BARE.fullmatch(text):
        return bare[1].upper() if bare[1].upper() in letters else None
    cued = _after_cue(text)
    found = cued and (_label_at_start(_NAMED.sub("", cued, count=1) if _NAMED.match(cued) else cued, letters, after_cue=True) or _by_wording(cued, texts))
    found = found or _by_wording(text, texts, whole=True) or _first_or_last_line(text, letters) or _mentioned(text, letters) or _by_wording(text, texts)
    return None if found == _AMBIGUOUS else found


def _label_at_start(text: str, letters: str, after_cue: bool = False) -> str | None:
    """The label a text begins with; ambiguous where a second one follows, None without any."""
    match = _LEADING.match(text) or (_LEADING_LOWER.match(text) if after_cue else None)
    letter = next(group for group in match.groups() if group).upper() if match else ""
    if match is None or letter not in letters:
        return None
    second = _SECOND.match(text, match.end())
    return _AMBIGUOUS if second is not None and second[1] in letters and second[1] != letter else letter


def _first_or_last_line(text: str, letters: str) -> str | None:
    """The label that begins the first line or the last; ambiguous where they differ or where the text repeats the options."""
    last = text.rpartition("\n")[2]
    if len(set(_LINE_LABEL.findall(text))) > 1 or len(set(_LABEL.findall(text))) > 2:
        bare = _BARE.fullmatch(last)
        return bare[1].upper() if bare and bare[1].upper() in letters else _AMBIGUOUS
    found = {_label_at_start(text, letters), _label_at_start(last, letters)} - {None}
    return found.pop() if len(found) == 1 else (_AMBIGUOUS if found else None)


def _mentioned(text: str, letters: str) -> str | None:
    """The one label that a phrase such as "so I choose B" or "(b)" singles out; ambiguous where there are several."""
    found = set()
    for pattern in (_CHOSEN, _BRACKETED):
        for match in pattern.finditer(text):
            letter = next(group for group in match.groups() if group).upper()
            if letter in letters and not _is_negated(text, match.end() - 1):
                found.add(letter)
    return found.pop() if len(found) == 1 else (_AMBIGUOUS if found else None)


def _by_wording(text: str, texts: dict[str, str], whole: bool = False) -> str | None:
    """The letter of the one option whose wording is the text, or (unless `whole`) is contained in it."""
    wordings = [wording for wording in texts.values() if wording]
    found = _words(text)
    if found not in wordings and not whole:
        found = _contained(found, wordings)
    return next((letter for letter, wording in texts.items() if wording and wording == found), None)


def _contained(text: str, wordings: list[str]) -> str | None:
    """The one wording that occurs in the text as whole words and is not negated; ambiguous where several do."""
    found = {match[0] for match in _any_of(tuple(wordings)).finditer(text) if not _is_negated(text, match.start())} if wordings else set()
    return found.pop() if len(found) == 1 else (_AMBIGUOUS if found else None)


def _is_negated(text: str, position: int) -> bool:
    return _NEGATED.search(text, max(0, position - 24), position) is not None


@lru_cache(maxsize=4_096)
def _any_of(wordings: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the wordings as whole words, longer ones first, so that "blue" inside "light blue" does not count."""
    longest_first = sorted(set(wordings), key=len, reverse=True)
    return re.compile(r"(?<![\w-])(?:" + "|".join(re.escape(wording) for wording in longest_first) + r")(?![\w-])")


# --- number and time ---

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


def _number(text: str, options: tuple[str, ...]) -> str | None:
    if _NONE.fullmatch(_words(text)):
        return "0"
    cued = _after_cue(text)
    return (_single(cued, _numbers(cued)) if cued else None) or _single(text, _numbers(text))


def _time(text: str, options: tuple[str, ...]) -> str | None:
    cued = _after_cue(text)
    return (_single(cued, _times(cued)) if cued else None) or _single(text, _times(text))


# --- yes/no, word, order, open ---

_YES_NO = re.compile(
    r"\b(?:(yes|yeah|yep|true)|(no(?!\s+(?:one|doubt)\b)|nope|false))\b|(是的?|对|有)(?=$|[.,!])|(不是|否|没有|不对)(?=$|[.,!])", re.IGNORECASE
)
_THEN = re.compile(r"\s*(?:,?\s*(?:and\s+)?(?:then|finally|lastly)\b|\bfollowed\s+by\b|[-=]?>|→|;|,|\bbefore\b)\s*,?\s*", re.IGNORECASE)
_ORDINAL = re.compile(r"^(?:first(?:ly)?|second(?:ly)?|third(?:ly)?|next|finally|lastly|\d+[.)])\s*[,:]?\s*", re.IGNORECASE)
_LETTERS = re.compile(r"[A-J](?:[\s,>\-]*[A-J])+")
_MAX_WORDS = 8


def _yes_no(text: str, options: tuple[str, ...]) -> str | None:
    for region in filter(None, (_after_cue(text), text)):
        found = [(match.start(), match.end(), "yes" if match[1] or match[3] else "no") for match in _YES_NO.finditer(region)]
        if not found:
            continue
        starts = not region[: found[0][0]].strip(" \"'([.,")
        ends = not region[found[-1][1] :].strip(" \"')].,!")
        both = starts and len(found) > 1 and found[1][2] != found[0][2] and re.fullmatch(r"\s*(?:and|or|/|,)\s*", region[found[0][1] : found[1][0]])
        said = ({found[0][2]} if starts else set()) | ({found[-1][2]} if ends and not starts else set())
        if said and not both:
            return said.pop()
        return None
    return None


def _word(text: str, options: tuple[str, ...]) -> str | None:
    if not options:
        wording = _words(_after_cue(text) or text)
        return wording if wording and len(wording.split()) <= _MAX_WORDS else None
    wordings = {_words(option): option for option in options}
    for region in filter(None, (_after_cue(text), text)):
        wording = _words(region)
        found = wording if wording in wordings else _contained(wording, list(wordings))
        if found:
            return wordings.get(found)
    wording = _words(text)  # an answer outside the class is wrong, not unreadable
    return wording if re.search(r"\w", wording) and len(wording.split()) <= 3 else None


def _sequence(text: str) -> str:
    """Events in the order they are said to happen, joined by " > "."""
    if _LETTERS.fullmatch(text.strip(" .")):
        return " > ".join(re.findall("[a-j]", text.casefold()))
    earlier = re.fullmatch(r"(.+?)\s+after\s+(.+)", text, re.IGNORECASE | re.DOTALL)
    parts = [earlier[2], earlier[1]] if earlier else _THEN.split(text.replace("\n", ", "))
    return " > ".join(filter(None, (_words(_ORDINAL.sub("", part.strip())) for part in parts)))


def _order(text: str, options: tuple[str, ...]) -> str | None:
    region = _after_cue(text) or text
    sequence = _sequence(region)
    if not options:
        return sequence if " > " in sequence else None
    sequences = {_sequence(option): option for option in options}
    found = sequence if sequence in sequences else None
    return sequences[found] if found else _word(text, options)


def _open(text: str, options: tuple[str, ...]) -> str | None:
    return text


_READERS = {"choice": _choice, "number": _number, "time": _time, "yes_no": _yes_no, "word": _word, "order": _order, "open": _open}
