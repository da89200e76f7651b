"""Yes and no, words of a class, and orders of events."""

import re

from videoperceiver.answers.text import after_cue, contained, words

_YES_NO = re.compile(
    r"\b(?:(yes|yeah|yep|true)|(no(?!\s+(?:one|doubt)\b)|nope|false))\b|(是的?|对|有)(?=$|[.,!])|(不是|否|没有|不对)(?=$|[.,!])", re.IGNORECASE
)
_THEN = re.compile(r"\s*(?:,?\s*(?:and\s+)?(?:then|finally|lastly)\b|\bfollowed\s+by\b|[-=]?>|→|;|,|\bbefore\b)\s*,?\s*", re.IGNORECASE)
_ORDINAL = re.compile(r"^(?:first(?:ly)?|second(?:ly)?|third(?:ly)?|next|finally|lastly|\d+[.)])\s*[,:]?\s*", re.IGNORECASE)
_LETTERS = re.compile(r"[A-J](?:[\s,>\-]*[A-J])+")
_MAX_WORDS = 8


def yes_no(text: str, options: tuple[str, ...]) -> str | None:
    """ "yes" or "no" where the text, or what follows "the answer is", begins or ends with it."""
    for region in filter(None, (after_cue(text), text)):
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


def word(text: str, options: tuple[str, ...]) -> str | None:
    """The one option a text names; without options its normalised wording."""
    if not options:
        wording = words(after_cue(text) or text)
        return wording if wording and len(wording.split()) <= _MAX_WORDS else None
    wordings = {words(option): option for option in options}
    for region in filter(None, (after_cue(text), text)):
        wording = words(region)
        found = wording if wording in wordings else contained(wording, list(wordings))
        if found:
            return wordings.get(found)
    wording = words(text)  # an answer outside the class is wrong, not unreadable
    return wording if re.search(r"\w", wording) and len(wording.split()) <= 3 else None


def _sequence(text: str) -> str:
    """Events in the order they are said to happen, joined by " > "."""
    if _LETTERS.fullmatch(text.strip(" .")):
        return " > ".join(re.findall("[a-j]", text.casefold()))
    earlier = re.fullmatch(r"(.+?)\s+after\s+(.+)", text, re.IGNORECASE | re.DOTALL)
    parts = [earlier[2], earlier[1]] if earlier else _THEN.split(text.replace("\n", ", "))
    return " > ".join(filter(None, (words(_ORDINAL.sub("", part.strip())) for part in parts)))


def order(text: str, options: tuple[str, ...]) -> str | None:
    """Events in order, joined by " > ", or the option that says so."""
    region = after_cue(text) or text
    sequence = _sequence(region)
    if not options:
        return sequence if " > " in sequence else None
    sequences = {_sequence(option): option for option in options}
    found = sequence if sequence in sequences else None
    return sequences[found] if found else word(text, options)
