"""Puts media beside the rows that name them."""

import os
import shutil
from pathlib import Path


def place(source: Path, target: Path) -> None:
    """A file or a folder of images under another name: a hard link, which costs no space; a copy on another file system.

    Args:
        source: must exist.
        target: left as it is where it exists; its parents are made.

    Raises:
        OSError: it cannot be read or written.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = _link if os.stat(source).st_dev == os.stat(target.parent).st_dev else shutil.copy2
    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy)
    else:
        copy(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    os.link(os.path.realpath(source), target)
