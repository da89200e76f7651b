"""Functions and errors by name, so that they reach another process without pickle."""

import importlib
from collections.abc import Mapping
from typing import Any

from videoperceiver import errors
from videoperceiver.data.executors import MakeWorker
from videoperceiver.errors import VideoPerceiverError


def name_of(function: MakeWorker) -> str:
    """`module:name` of a function at the top of a module."""
    name = f"{function.__module__}:{function.__qualname__}"
    if "<" in name or "." in function.__qualname__:
        raise ValueError(f"got {name}; expected a function at the top of a module, which another process can import")
    return name


def named(name: str) -> MakeWorker:
    """The function of a name."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def told(error: Exception) -> dict[str, str]:
    """An error as JSON values."""
    return {"kind": type(error).__name__, "message": str(error)}


def raised(row: Mapping[str, Any]) -> VideoPerceiverError:
    """The error again: of its own kind where it is one of ours, which a user can act on."""
    kind = getattr(errors, row["kind"], None)
    if isinstance(kind, type) and issubclass(kind, VideoPerceiverError) and kind is not errors.MissingExtraError:
        return kind(row["message"])
    return VideoPerceiverError(row["message"] if kind else f"a worker of stage 0 failed: {row['kind']}: {row['message']}")
