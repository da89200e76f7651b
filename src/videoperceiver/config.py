"""Recipes: a stage's frozen dataclass, a YAML file over its defaults, `key=value` over both; validated once, never changed.

A dataclass may check itself in `__post_init__` by raising ConfigError with the field's name first; `load` adds where it came from.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from videoperceiver.errors import ConfigError

T = TypeVar("T")

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def load(cls: type[T], path: str | Path | None = None, overrides: Sequence[str] = ()) -> T:
    """A checked config: the defaults of `cls`, then the recipe's fields, then each `key=value`.

    Args:
        cls: a frozen dataclass; nested dataclasses, tuples, Literal and `| None` are understood.
        path: a YAML recipe, None for the defaults alone.
        overrides: `key=value` or `key.nested=value`; the value is read as YAML.

    Raises:
        ConfigError: no such file, not YAML, an unknown field, a value of the wrong type, a missing required field, or what `cls` itself refuses.
    """
    merged = OmegaConf.structured(cls)
    if path is not None:
        for key, value in _read(Path(path)).items():
            merged = _merge(merged, OmegaConf.create({key: value}), cls, str(key), f"recipe {path}")
    for override in overrides:
        key, found, _ = override.partition("=")
        if not found or not key.strip():
            raise ConfigError(f"override {override!r}: expected key=value, for instance {next(iter(_hints(cls)))}=...")
        try:
            patch = OmegaConf.from_dotlist([override])
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise ConfigError(f"override {override!r}: the value cannot be read as YAML ({_first_line(error)}); quote it") from error
        merged = _merge(merged, patch, cls, key, f"override {override!r}")
    return _build(merged, cls, f"recipe {path}" if path is not None else cls.__name__)


def dump(config: object) -> str:
    """The config as YAML that `load` reads back to an equal one."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise ConfigError(f"recipe {path}: no such file{_neighbours(path)}") from None
    except OSError as error:
        raise ConfigError(f"recipe {path}: cannot be read ({error.strerror or error}){_neighbours(path)}") from error
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path}: not a YAML file of `field: value` lines ({' '.join(str(error).split())})") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"recipe {path}: expected `field: value` lines, got a list")
    return content


def _neighbours(path: Path) -> str:
    """What a mistyped path may have meant."""
    folder = path if path.is_dir() else path.parent
    found = sorted(file.name for file in folder.glob("*.yaml")) if folder.is_dir() else []
    return f"; {folder} holds {', '.join(found)}" if found else ""


def _merge(base: DictConfig, patch: Any, cls: type, key: str, where: str) -> DictConfig:
    try:
        merged = OmegaConf.merge(base, patch)
    except ConfigKeyError as error:
        raise ConfigError(f"{where}: {_unknown(cls, error.full_key or key)}") from error
    except OmegaConfBaseException as error:
        key = error.full_key or key
        got = OmegaConf.select(patch, key.split("[")[0], throw_on_missing=False)
        got = OmegaConf.to_container(got) if OmegaConf.is_config(got) else got
        raise ConfigError(f"{where}: field {key!r} expects {_expected(cls, key)}, got {got!r}") from error
    assert isinstance(merged, DictConfig)
    return merged


def _build(merged: DictConfig, cls: type[T], where: str) -> T:
    try:
        config = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        key = error.full_key or ""
        raise ConfigError(f"{where}: field {key!r} is required ({_expected(cls, key)}); add it to the recipe or pass {key}=...") from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: field {error.full_key!r}: {_first_line(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    assert isinstance(config, cls)
    return config


def _unknown(cls: type, key: str) -> str:
    """'no field x; did you mean y?', against the fields of the dataclass that the key points into."""
    *parents, name = key.split(".")
    for parent in parents:
        cls = _inner(_hints(cls).get(parent)) or cls
    fields = list(_hints(cls))
    near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(sorted(fields))}"
    return f"no field {key!r} in {cls.__name__}; {hint}"


def _expected(cls: type, key: str) -> str:
    """What the field at a dotted key takes, in words."""
    hint: Any = cls
    for name in key.split("[")[0].split("."):
        hint = _hints(_inner(hint) or cls).get(name, Any)
    return _describe(hint)


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if arg is type(None) else _describe(arg) for arg in args)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (tuple, list):
        return f"a list of {_describe(args[0]).removeprefix('a ')} items, as [..]" if args else "a list, as [..]"
    if origin is dict:
        return "`name: value` lines"
    if dataclasses.is_dataclass(hint):
        return f"the fields {', '.join(_hints(hint))}"
    return _WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls) if dataclasses.is_dataclass(cls) else {}


def _inner(hint: Any) -> Any:
    """The dataclass in `X` or `X | None`, None where there is none."""
    return next((arg for arg in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(arg)), None)


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
