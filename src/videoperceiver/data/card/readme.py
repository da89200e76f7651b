"""README.md of a data set: front matter that the hub and `datasets` read, then the card in words.

The keys are those of https://github.com/huggingface/hub-docs/blob/main/datasetcard.md and, for `configs`,
https://huggingface.co/docs/hub/datasets-manual-configuration.
"""

from pathlib import Path
from typing import Any

import yaml

from videoperceiver.data.card.facts import Facts
from videoperceiver.data.card.papers import Papers
from videoperceiver.data.card.split_files import FOLDER
from videoperceiver.errors import RunError
from videoperceiver.pages.dataset_card import DatasetCard, dataset_markdown

LICENCES = {"CC BY 4.0": "cc-by-4.0"}
"""Terms that are a licence of the hub as a whole, by what they say."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))


MARK = "<!-- Written by `videoperceiver data card`, which replaces this file; without this line it will not. -->"


def readme(card: DatasetCard, facts: Facts, papers: Papers) -> str:
    """Front matter and Markdown."""
    front = yaml.safe_dump(front_matter(card, facts, papers), sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n{front}---\n\n{dataset_markdown(card)}\n{MARK}\n"


def check_replaceable(path: Path) -> None:
    """Raises RunError where a README.md is somebody's own."""
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise RunError(f"{path}: this file was not written by a card, or is kept (its last line is gone); move it away, then write the card again")


def front_matter(card: DatasetCard, facts: Facts, papers: Papers) -> dict[str, Any]:
    """What the hub shows and `load_dataset` obeys; the language is named where the validator looked at it."""
    files = [{"split": split, "path": f"{FOLDER}/{split}.parquet"} for split in ("train", "validation", "test") if split in facts.splits]
    tasks = [name for name, there in (("visual-question-answering", facts.questions), ("video-text-to-text", True)) if there]
    return {
        "pretty_name": card.name,
        **licence(facts, papers),
        "task_categories": tasks,
        **language(papers),
        "size_categories": [next((size for limit, size in SIZES if facts.clips < limit), "100M<n<1B")],
        "tags": ["video", "temporal-grounding", "videoperceiver"],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def language(papers: Papers) -> dict[str, list[str]]:
    """What captions and questions are in, by the rule that dropped all others; nothing where none did."""
    settings, skipped = papers.settings, papers.settings.get("validate.skip") or ()
    name = settings.get("validate.language")
    looked = settings.get("validate.enabled") and isinstance(skipped, list | tuple) and "wrong_language" not in skipped
    return {"language": [str(name)]} if looked and name in ("en", "zh") else {}


def licence(facts: Facts, papers: Papers) -> dict[str, str]:
    """One licence of the hub where all sources are under it; `other` where they are not, `unknown` where nobody told."""
    terms = [papers.terms_of(source) for source in facts.sources]
    found = {next((name for text, name in LICENCES.items() if text in term), "other") if term else "unknown" for term in terms}
    if len(found) == 1 and (name := found.pop()) != "other":
        return {"license": name}
    return {"license": "other", "license_name": "terms-of-its-sources", "license_link": "README.md"}
