"""Functions of the user's own, named in recipes as "package.module:function" or "folder/file.py:function".

Naming one runs its file: only recipes and command lines may do so, never data (a manifest's operator names are labels).
"""

import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from videoperceiver.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])

HOW = "your own as 'package.module:function' or 'file.py:function'"


def choose(name: str, known: Mapping[str, Function], *, role: str, signature: str, num_arguments: int) -> Function:
    """A built-in function, or one of the user's.

    Args:
        name: a key of `known`, or where to find the function.
        known: the built-in ones.
        role: what it is for, for messages: "base reward".
        signature: how it must be defined, for messages.
        num_arguments: how many positional arguments it is called with.

    Raises:
        ConfigError: no such function, module or file; importing it raised; it takes other arguments.
    """
    if name in known:
        return known[name]
    if ":" not in name:
        raise ConfigError(f"{role} {name!r} is unknown{suggestion(name, known)}; expected one of {', '.join(known)}, or {HOW}")
    return cast(Function, _own(name, role, signature, num_arguments))


def suggestion(name: str, known: Mapping[str, object]) -> str:
    """ " (did you mean 'x'?)", or nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


@lru_cache
def _own(name: str, role: str, signature: str, num_arguments: int) -> Callable[..., Any]:
    where, _, attribute = name.rpartition(":")
    try:
        module = _load_file(Path(where), role) if where.endswith(".py") else _load_module(where, role)
    except ConfigError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(f"{role} {name!r}: importing {where} raised {type(error).__name__}: {error}; mend it, or leave it out") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(f"{role} {name!r}: {where} has no function {attribute!r}; define it as {signature}")
    if not _takes(function, num_arguments):
        raise ConfigError(f"{role} {name!r}: {attribute}{inspect.signature(function)} does not take {num_arguments} arguments; define it as {signature}")
    return function


def _takes(function: Callable[..., object], num_arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * num_arguments)
    except TypeError:
        return False
    except ValueError:  # built into the interpreter, tells nothing of its arguments
        return True
    return True


def _load_module(where: str, role: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"module {where!r} of {role} cannot be imported ({error}); is it on PYTHONPATH, or did you mean a file 'folder/file.py:function'?"
        ) from error


def _load_file(path: Path, role: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"file {str(path)!r} of {role} does not exist; give a path from the working directory, as 'folder/file.py:function'")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"file {str(path)!r} of {role} is not a Python source file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
