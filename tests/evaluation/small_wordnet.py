"""A WordNet of two words and a sentence splitter that knows no abbreviations, in nltk's own file formats: enough to run its METEOR."""

from pathlib import Path

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}


def write_nltk_data(folder: Path) -> Path:
    """`folder` as NLTK_DATA: "car" and "auto" are synonyms, nothing else is known. Both are their own stems: nltk looks words up after stemming."""
    wordnet, splitter = folder / "corpora" / "wordnet", folder / "tokenizers" / "punkt_tab" / "english"
    for place in (wordnet, splitter):
        place.mkdir(parents=True)
    for name in PARTS:
        (wordnet / f"{name}.exc").write_text("")
        (wordnet / f"index.{name}").write_text("")
        (wordnet / f"data.{name}").write_text("")
    (wordnet / "index.sense").write_text("")
    (wordnet / "lexnames").write_text("00\tnoun.artifact\t1\n")
    (wordnet / "data.noun").write_text("00000000 00 n 02 auto 0 car 0 000 | a motor vehicle  \n")
    (wordnet / "index.noun").write_text("auto n 1 0 1 0 00000000  \ncar n 1 0 1 0 00000000  \n")
    for name in ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt"):
        (splitter / name).write_text("")
    return folder
