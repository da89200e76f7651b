"""What every reader of an answer shares: cleaning, cue phrases, and the comparison of wordings."""

import re
import unicodedata
from functools import lru_cache

MAX_CHARS = 8_000
AMBIGUOUS = "?"
"""What a reader returns where it finds more than one answer; `extract` turns it into None."""

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


def clean(completion: str) -> str:
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


def after_cue(text: str) -> str | None:
    """What follows the last "the answer is" on its line; None without one."""
    ends = [match.end() for match in _CUE.finditer(text)]
    return text[ends[-1] :].partition("\n")[0].strip() if ends else None


def words(text: str) -> str:
    """Case-folded, without outer punctuation and leading articles, single spaces: what two wordings are compared by."""
    text = " ".join(text.casefold().split()).strip(" .,:;!?\"'()[]{}")
    return re.sub(r"^(?:an?|the) ", "", text)


def contained(text: str, wordings: list[str]) -> str | None:
    """The one wording that occurs in the text as whole words and is not negated; ambiguous where several do."""
    found = {match[0] for match in _any_of(tuple(wordings)).finditer(text) if not is_negated(text, match.start())} if wordings else set()
    return found.pop() if len(found) == 1 else (AMBIGUOUS if found else None)


def is_negated(text: str, position: int) -> bool:
    """Whether "not", "rather than" or the like stands before the position."""
    return _NEGATED.search(text, max(0, position - 24), position) is not None


@lru_cache(maxsize=4_096)
def _any_of(wordings: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the wordings as whole words, longer ones first, so that "blue" inside "light blue" does not count."""
    longest_first = sorted(set(wordings), key=len, reverse=True)
    return re.compile(r"(?<![\w-])(?:" + "|".join(re.escape(wording) for wording in longest_first) + r")(?![\w-])")
