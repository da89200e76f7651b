"""Letters of multiple choice."""

import re
from functools import lru_cache

from videoperceiver.answers.text import AMBIGUOUS, after_cue, contained, is_negated, words

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
def option_texts(options: tuple[str, ...]) -> dict[str, str]:
    """Letter -> normalised wording without its own label; "" where the option is a bare letter."""
    texts = {}
    for i, option in enumerate(options):
        letter = chr(ord("A") + i)
        own = _OWN_LABEL.match(option)
        texts[letter] = words(option[own.end() :] if own is not None and letter in own.groups() else option)
    return texts


def choice(text: str, options: tuple[str, ...]) -> str | None:
    """The letter a cleaned text chooses; the strongest evidence that is there decides, and only if it names one letter."""
    texts = option_texts(options)
    letters = "".join(texts) or "ABCDEFGHIJ"
    if bare := _BARE.fullmatch(text):
        return bare[1].upper() if bare[1].upper() in letters else None
    cued = after_cue(text)
    found = cued and (_label_at_start(_NAMED.sub("", cued, count=1) if _NAMED.match(cued) else cued, letters, after_cue=True) or _by_wording(cued, texts))
    found = found or _by_wording(text, texts, whole=True) or _first_or_last_line(text, letters) or _mentioned(text, letters) or _by_wording(text, texts)
    return None if found == AMBIGUOUS else found


def _label_at_start(text: str, letters: str, after_cue: bool = False) -> str | None:
    """The label a text begins with; ambiguous where a second one follows, None without any."""
    match = _LEADING.match(text) or (_LEADING_LOWER.match(text) if after_cue else None)
    letter = next(group for group in match.groups() if group).upper() if match else ""
    if match is None or letter not in letters:
        return None
    second = _SECOND.match(text, match.end())
    return AMBIGUOUS if second is not None and second[1] in letters and second[1] != letter else letter


def _first_or_last_line(text: str, letters: str) -> str | None:
    """The label that begins the first line or the last; ambiguous where they differ or where the text repeats the options."""
    last = text.rpartition("\n")[2]
    if len(set(_LINE_LABEL.findall(text))) > 1 or len(set(_LABEL.findall(text))) > 2:
        bare = _BARE.fullmatch(last)
        return bare[1].upper() if bare and bare[1].upper() in letters else AMBIGUOUS
    found = {_label_at_start(text, letters), _label_at_start(last, letters)} - {None}
    return found.pop() if len(found) == 1 else (AMBIGUOUS if found else None)


def _mentioned(text: str, letters: str) -> str | None:
    """The one label that a phrase such as "so I choose B" or "(b)" singles out; ambiguous where there are several."""
    found = set()
    for pattern in (_CHOSEN, _BRACKETED):
        for match in pattern.finditer(text):
            letter = next(group for group in match.groups() if group).upper()
            if letter in letters and not is_negated(text, match.end() - 1):
                found.add(letter)
    return found.pop() if len(found) == 1 else (AMBIGUOUS if found else None)


def _by_wording(text: str, texts: dict[str, str], whole: bool = False) -> str | None:
    """The letter of the one option whose wording is the text, or (unless `whole`) is contained in it."""
    wordings = [wording for wording in texts.values() if wording]
    found = words(text)
    if found not in wordings and not whole:
        found = contained(found, wordings)
    return next((letter for letter, wording in texts.items() if wording and wording == found), None)
