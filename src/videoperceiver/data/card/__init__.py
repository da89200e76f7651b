"""The card of a data set: a page, and the README.md that the Hugging Face hub and `datasets` read."""

from pathlib import Path

from videoperceiver.data.card.blindness import sceneries
from videoperceiver.data.card.compose import compose
from videoperceiver.data.card.examples import example_figures
from videoperceiver.data.card.facts import Facts
from videoperceiver.data.card.papers import Papers
from videoperceiver.data.card.readme import check_replaceable, readme
from videoperceiver.data.card.split_files import split_files
from videoperceiver.data.manifest import Manifest
from videoperceiver.data.validate.balance import balance
from videoperceiver.data.validate.blind import blind_probe
from videoperceiver.errors import ManifestError, RunError
from videoperceiver.pages.dataset_card import dataset_page
from videoperceiver.runs import explain, write_atomic

PAGE, README, MANIFEST = "index.html", "README.md", "manifest.parquet"


def write_card(manifest_path: Path, run_folder: Path, *, num_scenery: int = 0) -> Path:
    """Writes `index.html`, `README.md` and the split files of `datasets` into a data folder, replacing those of an earlier card.

    The manifest is read row by row, so memory does not grow with it.

    Args:
        manifest_path: rows of the data set.
        run_folder: of stage 0: its source.json, result.json, rejects.jsonl, dropped.jsonl and config.yaml are told where they are there.
        num_scenery: about so many clips are read to see what the scenery of V' gives away of the answers; 0: that is not measured.

    Returns:
        The page.

    Raises:
        ManifestError: the manifest cannot be read or has no row.
        RunError: another file is damaged, a README.md that is somebody's own lies there, or the folder cannot be written.
    """
    manifest = Manifest(manifest_path)
    folder, facts = manifest.root, Facts()
    check_replaceable(folder / README)
    try:
        even = balance(facts.counted(split_files(manifest, folder)))  # one pass for all three
    except OSError as error:
        raise RunError(explain(error, folder)) from error
    if not facts.clips:
        raise ManifestError(f"{manifest_path}: it has no row, so there is nothing to tell; build the data set first")
    blind = blind_probe(manifest, scenery=sceneries(manifest, facts.degraded, num_scenery))
    papers = Papers.read(run_folder)
    clips, unread = example_figures(manifest, facts.examples)
    card = compose(_name(run_folder, manifest_path), facts, even, blind, papers, clips, unread)
    try:
        write_atomic(folder / README, readme(card, facts, papers))
        return write_atomic(folder / PAGE, dataset_page(card))
    except OSError as error:
        raise RunError(explain(error, folder)) from error


def card_of(folder: Path, *, num_scenery: int = 0) -> Path:
    """Writes the card of a folder that `videoperceiver data build` left.

    Args:
        folder: of the data set.
        num_scenery: as in `write_card`.

    Returns:
        The page.

    Raises:
        ManifestError: there is no manifest in it. Otherwise as `write_card`.
    """
    if not (folder / MANIFEST).is_file():
        what = "no such folder" if not folder.exists() else f"{MANIFEST} is not in it" if folder.is_dir() else "this is a file"
        raise ManifestError(f"{folder}: {what}; expected the folder of a finished `videoperceiver data build`")
    return write_card(folder / MANIFEST, folder, num_scenery=num_scenery)


def _name(run_folder: Path, manifest_path: Path) -> str:
    return run_folder.resolve().name or manifest_path.stem


__all__ = ["card_of", "write_card"]
