"""Optional packages: imported where they are used, and their absence told with the pip command."""

from importlib import import_module
from types import ModuleType

from videoperceiver.errors import MissingExtraError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtraError: it, or something it imports, is not installed; the message holds the pip command.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or module, extra, purpose) from error
