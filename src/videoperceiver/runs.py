"""The run directory: everything a stage leaves behind.

    config.yaml      the resolved config          metrics.jsonl   {"step", "time_s", "stage/name": scalar}
    metadata.json    commit, versions, hashes     rejects.jsonl   {"sample_id", "path", "kind", "reason"}
    status.json      running | finished           checkpoints/    step-00000100/ ...

A stage calls `Run.open_or_create(folder, config, stage=...)`, `resume_at(step)`, `log` and `reject` as it goes, `finish` at the end. The same call
on a folder that holds the same stage, config and data continues that run; anything else there is refused, never overwritten.
"""

import contextlib
import errno
import fcntl
import hashlib
import importlib.metadata
import json
import logging
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml

from videoperceiver import __version__
from videoperceiver.config import dump, load
from videoperceiver.errors import ConfigError, RewardError, RunError, SampleError

logger = logging.getLogger(__name__)
T = TypeVar("T")
Status = Literal["running", "finished", "interrupted"]

SCHEMA = 1
FREE = ("runtime.", "annotate.server.", "executor")
"""Groups of fields, and fields, that a continued run may change."""
_BEGINNINGS = {".lock", "config.yaml", ".config.yaml.part", ".metadata.json.part"}  # all that a kill during creation leaves: metadata.json comes last
_REJECT_KEYS = ("sample_id", "path", "kind", "reason")
PACKAGES = ("torch", "torchvision", "transformers", "tokenizers", "peft", "av", "numpy", "scipy")


class Run:
    """One stage's folder. Made by `open_or_create` or `open`, never directly.

    Attributes:
        folder: where everything lies.
        stage: "data", "sft", "grpo" or "evaluate".
    """

    def __init__(self, folder: Path, stage: str, *, writes: bool = True):
        self.folder, self.stage, self._writes = folder, stage, writes
        self._began_s = time.monotonic()
        self._rejected = [tuple(row[key] for key in _REJECT_KEYS) for row in self.rejects()]

    @classmethod
    def open_or_create(cls, folder: str | Path, config: object, *, stage: str, data: Sequence[str | Path] = ()) -> Self:
        """A run that writes to its folder: a new one, or the same one continued.

        Args:
            folder: created with its parents; must be empty or hold this very run.
            config: the stage's dataclass, saved resolved.
            stage: its name.
            data: input files whose sha256 is recorded and must not have changed on resumption.

        Raises:
            RunError: the folder cannot be written, is in use by another process, holds something else, another recipe, or data that changed.
        """
        folder = Path(folder)
        metadata = {"schema": SCHEMA, "stage": stage, "data": {str(path): _sha256(Path(path)) for path in data}}
        with _plainly(folder):
            folder.mkdir(parents=True, exist_ok=True)
            begun = (folder / "metadata.json").exists()
            if not begun and any(entry.name not in _BEGINNINGS for entry in folder.iterdir()):
                raise RunError(f"{folder} is not empty and holds no run: expected a new or empty folder, or a run to continue; name another folder")
            if begun:
                _same(folder, metadata, config)
            _lock(folder)
            run = cls(folder, stage)
            if not run.finished:
                run.write_text("config.yaml", dump(config))  # also of a continued run: its runtime may differ
            if not begun:
                run.write_json("metadata.json", metadata | _environment())
            if not run.finished:
                run.write_json("status.json", {"status": "running"})
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """A run to read from (reports, later stages).

        Raises:
            RunError: no run lies there.
        """
        folder = Path(folder)
        return cls(folder, _read_metadata(folder)["stage"])

    def silent(self) -> Self:
        """The same run as the ranks beside the first hold it: it counts rejects and writes nothing."""
        return type(self)(self.folder, self.stage, writes=False)

    def config(self, cls: type[T]) -> T:
        """The resolved config it ran with."""
        return load(cls, self.folder / "config.yaml")

    @property
    def status(self) -> Status:
        """What status.json says; "interrupted" where it says "running" but no process holds the run."""
        status = _read_json(self.folder / "status.json", {"status": "running"})["status"]
        return "interrupted" if status == "running" and not _locked(self.folder) else status

    @property
    def finished(self) -> bool:
        """Whether the stage has nothing left to do here."""
        return self.status == "finished"

    def finish(self) -> None:
        """Mark the run complete and let go of its folder."""
        self.write_json("status.json", {"status": "finished"})
        if self._writes:
            _unlock(self.folder)

    def describe(self, **facts: Any) -> None:
        """Add facts about how it runs to metadata.json, e.g. which judge scores; said again they change nothing."""
        self.write_json("metadata.json", _read_metadata(self.folder) | facts)

    def resume_at(self, step: int) -> None:
        """Drop the scalars of `step` and later, so that the resumed run ends with the metrics of an uninterrupted one."""
        kept = [row for row in self.metrics() if row["step"] < step]
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
        self._began_s = time.monotonic() - max((row["time_s"] for row in kept), default=0.0)

    def log(self, step: int, **scalars: float) -> None:
        """Append one row to metrics.jsonl; a name without a slash goes under `stage/`. NaN and infinity are written as null."""
        values = {name if "/" in name else f"{self.stage}/{name}": _finite(float(value)) for name, value in scalars.items()}
        self._append("metrics.jsonl", {"step": int(step), "time_s": round(time.monotonic() - self._began_s, 3), **values})

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; a torn last line, left by a kill, is not one."""
        return _rows(self.folder / "metrics.jsonl")

    def reject(self, error: SampleError) -> None:
        """Record a bad sample. The same sample and reason are recorded once, so a resumed run repeats nothing."""
        values = (error.sample_id, error.path, type(error).__name__, error.reason)
        if values not in self._rejected:
            logger.warning("rejected: %s", error)
            self._append("rejects.jsonl", dict(zip(_REJECT_KEYS, values, strict=True)))
            self._rejected.append(values)

    def rejects(self) -> list[dict[str, Any]]:
        """The rows of rejects.jsonl."""
        return _rows(self.folder / "rejects.jsonl")

    def check_rejects(self, max_reject_rate: float, *, seen: int) -> None:
        """Fail a run that loses too many samples; one alone is borne, unless the rate is 0.

        Args:
            max_reject_rate: the share of samples that may be bad.
            seen: samples so far, or in all where that is known: small numbers make a rough rate.

        Raises:
            RunError: more are bad than that, with the first reasons.
        """
        num_rejected = len({sample_id or path for sample_id, path, kind, _ in self._rejected if kind != RewardError.__name__})  # stage 2 counts those
        if num_rejected > max(max_reject_rate * seen, 1 if max_reject_rate else 0):
            raise RunError(
                f"{num_rejected} of {seen} samples are bad, more than max_reject_rate={max_reject_rate:g} allows:\n{self._reasons()}\n"
                f"All are in {self.folder / 'rejects.jsonl'}: mend or drop them, or raise max_reject_rate"
            )

    def _reasons(self, most: int = 8) -> str:
        """A table: how often each reason came up, and one sample of each."""
        found: dict[str, list[str]] = {}
        for sample_id, path, kind, reason in self._rejected:
            found.setdefault(f"{kind}: {reason}", []).append(str(sample_id or path))
        rows = sorted(found.items(), key=lambda row: -len(row[1]))
        lines = [f"{len(samples):>7}  {reason} (e.g. {samples[0]})" for reason, samples in rows[:most]]
        more = [f"         and {len(rows) - most} other reasons"] if len(rows) > most else []
        return "\n".join(["samples  reason", *lines, *more])

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint after `step` steps lies or will lie."""
        return self.folder / "checkpoints" / f"step-{step:08d}"

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of this run, whole or not at all."""
        if not self._writes:
            return self.folder / name
        with _plainly(self.folder):
            return write_atomic(self.folder / name, text)

    def write_json(self, name: str, value: Any) -> Path:
        """Write a value as JSON, whole or not at all; numbers that are not finite become null."""
        return self.write_text(name, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")

    def _append(self, name: str, row: Mapping[str, Any]) -> None:
        if not self._writes:
            return
        with _plainly(self.folder), (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


_locks: dict[Path, int] = {}
"""Folders this process writes, with the descriptor whose lock says so; the system drops the lock of a process that dies."""


def _lock(folder: Path) -> None:
    """Keep other processes out; a process may take up again a run that it holds (a stage called anew after an error)."""
    if folder.resolve() in _locks:
        return
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunError(f"{folder} is being written by another process: wait for it, stop it, or name another folder") from None
    _locks[folder.resolve()] = descriptor


def _unlock(folder: Path) -> None:
    descriptor = _locks.pop(folder.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def _locked(folder: Path) -> bool:
    """Whether a process is writing the run."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a part."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        _fsync(part)
        part.replace(path)
        _fsync(path.parent)
    finally:
        part.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _plainly(folder: Path) -> Iterator[None]:
    """Say a failing disk in words."""
    try:
        yield
    except OSError as error:
        raise RunError(explain(error, folder)) from error


def explain(error: OSError, folder: Path) -> str:
    """What a failed write means and what to do, in one sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{folder}: the disk is full; free some space and run the same command again, it continues from the last checkpoint"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{folder}: this folder cannot be written (read-only or no permission); name another one"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{folder}: a file of that name, or of a parent's name, is in the way; expected a folder, name another one"
    return f"{folder}: {error.strerror or error}" + (f" ({error.filename})" if error.filename and error.filename != str(folder) else "")


def _same(folder: Path, metadata: Mapping[str, Any], config: object) -> None:
    """Refuse to continue a run of another stage, recipe or data; where and how it computes may differ."""
    before = _read_metadata(folder)
    if before["stage"] != metadata["stage"]:
        raise RunError(f"{folder} holds a run of stage {before['stage']!r}, not {metadata['stage']!r}: name another folder")
    old, new = _recipe(folder, config), flat(yaml.safe_load(dump(config)))
    changed = [
        f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(FREE)
    ]
    if changed:
        raise RunError(f"{folder} holds a run of another recipe ({'; '.join(changed)}): use the same recipe to continue it, or name another folder")
    if before["data"] != metadata["data"]:
        moved = sorted(key for key in before["data"].keys() | metadata["data"].keys() if before["data"].get(key) != metadata["data"].get(key))
        raise RunError(f"{folder} was begun on other data: {', '.join(moved)} changed since; name another folder")


def _recipe(folder: Path, config: object) -> dict[str, Any]:
    """The saved fields, dotted; those that this version added have the defaults they had in effect."""
    path = folder / "config.yaml"
    try:
        return flat(yaml.safe_load(dump(load(type(config), path))))
    except ConfigError:  # it has fields that are gone: compared as they stand
        return flat(yaml.safe_load(path.read_text(encoding="utf-8")))


def flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields as dotted ones."""
    result: dict[str, Any] = {}
    for key, value in fields.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return result


def _environment() -> dict[str, Any]:
    versions = {"videoperceiver": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"created": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "git": _git_commit(), "versions": versions}


def _git_commit() -> str | None:
    """The commit of this package's checkout, "+changes" added where files differ; None when installed otherwise."""

    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", str(Path(__file__).parent), *args], capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _read_metadata(folder: Path) -> dict[str, Any]:
    metadata = _read_json(folder / "metadata.json", None)
    if metadata is None or "stage" not in metadata or not (folder / "config.yaml").is_file():
        raise RunError(f"{folder} is not a run folder: expected config.yaml and metadata.json in it; name the folder that a stage command printed")
    if metadata.get("schema") != SCHEMA:
        raise RunError(f"{folder} was written in run format {metadata.get('schema')}, this version reads {SCHEMA}; use the version that wrote it")
    return metadata


def _read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return default
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); the folder was damaged, name another one") from error


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _finite(value: Any) -> Any:
    """The value with null in place of NaN and infinity, which JSON has no words for."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); check the path in the recipe") from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
