"""Rules for any text, captions and questions alike. Each returns why the text is refused, or "" where it stands.

Patterns are bounded in what they repeat, so that a text of any length costs time in proportion to it.
"""

import re
from operator import eq

from videoperceiver.data.validate.subject import Subject

_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffd\ud800-\udfff\U000e0000-\U000e007f]")
_MARKUP = re.compile(
    r"</?[a-zA-Z][^<>\n]{0,80}>"  # HTML, <answer>, <video>
    r"|<\|[^|<>\n]{1,40}\|>|\[/?INST\]|<</?SYS>>"  # a chat template's
    r"|```|\*\*\S|^#{1,6} \S|\[[^\]\n]{1,80}\]\(|https?://"  # Markdown
    r'|[{\[]\s*"|"\s*[}\]]|"\s*:\s*"'  # JSON
    r"|&(?:[a-z]{2,8}|#\d{1,6});|\\(?:boxed|text|n)\b",
    re.MULTILINE,
)
_REFUSAL = re.compile(
    r"\bI(?:'m|’m| am) (?:sorry|afraid I|unable|not able)|\bI (?:can(?:not|'t|’t)|could(?: not|n't)|do(?: not|n't))"
    r" (?:see|view|watch|determine|assist|help|provide|answer|access|tell|have|identify)\b|\bas an? (?:AI|language model|assistant)\b"
    r"|\bno (?:video|frames?|images?) (?:was|were|is|are|has been|have been) (?:provided|attached|given|visible|available)"
    r"|\b(?:can(?:not|'t)|could(?: not|n't)) be (?:determined|answered|identified) (?:from|based)"
    r"|\b(?:not enough|insufficient) (?:information|context|evidence)"
    r"|\bunable to (?:determine|answer|see|view|assist|identify)",
    re.IGNORECASE,
)
_INJECTION = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b[^.\n]{0,30}?(?:"
    r"\b(?:above|previous|prior|earlier|preceding|system)\b[^.\n]{0,30}?\b(?:instructions?|prompts?|rules|messages?|guidelines|text|context)\b"
    r"|\b(?:all|any|your|these|those)\b[^.\n]{0,30}?\b(?:instructions|prompts|guidelines)\b"
    r"|\babove\b(?! (?:the|an?|his|her|their|him|it|them|that|this)\b))"
    r"|\bsystem prompt\b|\byou are now (?:an? |the |in )?(?:AI|assistant|language model|chatbot|developer mode|system|DAN)\b|\bnew instructions?\s*:"
    r"|\b(?:respond|reply|answer) only with (?:the )?(?:option |letter )?(?:[\"“'‘]|(?-i:[A-Z])(?!\w))|^\s*(?:system|assistant|user)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_PLACEHOLDER = re.compile(
    r"\{\w[\w ]{1,40}\}|[\[<](?:[A-Z_ ]{3,40}|event|action|object|subject|person|time|timestamp|answer|option|insert [^\]>\n]{1,40})[\]>]"
    r"|\b(?:TODO|TBD|FIXME)\b|\blorem ipsum\b"
)
_DOUBLED = re.compile(r"\b(the|a|an|of|and|is|to) \1\b(?!-)|\b(\w+)(?:[\s,]+\2\b){3}", re.IGNORECASE)
_DANGLING = re.compile(r"(?:[,;(\[-]|\b(?:a|an|the|and|or|but|of|because|while|its|their))\s*\Z")
_LOOP_WORDS, _MIN_WORDS = 24, 6
_HAN, _LATIN = re.compile(r"[㐀-鿿豈-﫿]"), re.compile(r"[A-Za-zÀ-ɏ]")
_ENGLISH_WORDS = "the is are was does did what which who where when how and or of to with that it they there this at"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_FUNCTION_WORDS = {
    "Spanish": "el la los las que una del por con para qué cuántas cuándo está en y es se su al",
    "French": "le les des une est dans et qui du pour avec sur que au la il elle combien quand quel quelle",
    "German": "der das und ist ein eine nicht mit auf wie wird den dem von im sie er wann welche",
    "Italian": "il che di una gli per con della sono nel la è quante quando cosa del si",
    "Portuguese": "os uma que não do da em um com para é as quantas quando ao se na no",
    "Dutch": "het een van en niet dat op met zijn wordt hoe wanneer de wat aan",
}
_LANGUAGES = {language: frozenset(listed.split()) for language, listed in _FUNCTION_WORDS.items()}
_REFUSAL_HINTS = "i i'm ai assistant language no cannot can't could couldn't enough insufficient unable"
_REFUSAL_WORDS = frozenset(_REFUSAL_HINTS.split())
_INJECTION_WORDS = ("ignore", "disregard", "forget", "override", "bypass", "system", "you are now", " only with", "assistant", "user", "new instruction")
"""Without one of them the slower pattern cannot match."""
_MAY_BE_MARKUP = re.compile(r'[<\[`*#{}"&\\]|://')


def text_size(subject: Subject) -> str:
    """Empty, or longer than `max_caption_chars` or `max_question_chars`; an answer or option that is empty."""
    question = subject.question
    limit = subject.config.max_caption_chars if question is None else subject.config.max_question_chars
    if len(subject.text) > limit:
        return f"{len(subject.text)} characters; at most {limit}"
    pieces = (subject.text,) if question is None else (question.text, question.answer, *question.options)
    for piece in pieces:
        if not any(map(str.isalnum, piece)):
            return f"a piece without a letter or digit: {piece[:20]!r}"
    return ""


def control_characters(subject: Subject) -> str:
    """Control, invisible or direction characters, or bytes that were no text: a reader does not see what a model reads."""
    plain = subject.text.replace("\n", " ").isprintable() and "\ufffd" not in subject.text
    found = None if plain else _HIDDEN.search(subject.text)
    return f"the character U+{ord(found[0]):04X}" if found else ""


def markup(subject: Subject) -> str:
    """Tags, links, Markdown, JSON or a chat template's tokens in place of plain words."""
    found = _MARKUP.search(subject.text) if _MAY_BE_MARKUP.search(subject.text) else None
    return f"markup: {found[0].strip()!r}" if found else ""


def refusal(subject: Subject) -> str:
    """The annotator declined or says that it cannot see. An option that is not the answer may say so."""
    found = None if subject.vocabulary.isdisjoint(_REFUSAL_WORDS) else _REFUSAL.search(subject.said)
    return f"the annotator declined: {found[0]!r}" if found else ""


def injection(subject: Subject) -> str:
    """Words meant for a model that reads them, not for a reader: 'ignore the instructions above'."""
    text = subject.text.lower()
    for word in _INJECTION_WORDS:
        if word in text:
            found = _INJECTION.search(subject.text)
            return f"an instruction to a model: {found[0].strip()!r}" if found else ""
    return ""


def wrong_language(subject: Subject) -> str:
    """Another script than the language's, or another language's function words."""
    language, text = subject.config.language, subject.said
    if language == "any":
        return ""
    if language == "zh" or not text.isascii():
        letters, own = sum(map(str.isalpha, text)), len((_HAN if language == "zh" else _LATIN).findall(text))
        if own < 0.7 * letters:
            return f"{own} of {letters} letters are of the script of {language!r}"
    ours = len(subject.vocabulary & _ENGLISH)
    if language == "zh" or len(subject.tokens) < _MIN_WORDS or 3 * ours >= len(subject.tokens):
        return ""
    found = {name: len(subject.vocabulary & known) for name, known in _LANGUAGES.items()}
    other = max(found, key=lambda name: found[name])
    return f"reads as {other} ({found[other]} of its function words, {ours} English ones)" if found[other] >= 3 and found[other] > 2 * ours else ""


def bad_wording(subject: Subject) -> str:
    """Cut off, a placeholder left in, a word doubled, or going round in circles."""
    text, spoken = subject.said, subject.tokens
    if found := _PLACEHOLDER.search(text):
        return f"a placeholder was left in: {found[0]!r}"
    if any(map(eq, spoken, spoken[1:])) and (found := _DOUBLED.search(text)):
        return f"repeats itself: {found[0]!r}"
    is_written = subject.question is not None and subject.question.kind in ("open", "word", "order")  # else the answer is a letter, a number or a time
    pieces = (subject.stem, subject.answer) if is_written else (subject.stem,)
    for piece in pieces:
        if len(piece) > 3 and _DANGLING.search(piece, len(piece) - 12):
            return f"cut off after {piece[-20:]!r}"
        if piece.count("(") > piece.count(")"):
            return "a bracket is not closed"
    if len(spoken) >= _LOOP_WORDS:
        threes = list(zip(spoken, spoken[1:], spoken[2:]))
        if len(set(threes)) < 0.5 * len(threes):
            return "goes round in circles: more than half of its phrases are said twice"
    return ""
