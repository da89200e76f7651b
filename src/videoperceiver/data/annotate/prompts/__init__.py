"""What annotators say to models and in questions: text files beside this one, so that their wording can be read, reviewed and hashed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml


def text(name: str) -> str:
    """A prompt file's content, without the blank space at its ends."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8").strip()


@lru_cache
def templates() -> Mapping[str, Any]:
    """The wording of the templated annotator."""
    return yaml.safe_load(text("templates.yaml"))


def version_of(names: Sequence[str], settings: Mapping[str, Any]) -> str:
    """sha256 over prompt files and the settings that change what is written: 64 hex digits."""
    said = [[name, text(name)] for name in names]
    return hashlib.sha256(json.dumps([said, settings], sort_keys=True).encode()).hexdigest()
