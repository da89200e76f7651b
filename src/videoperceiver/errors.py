"""What can go wrong, as a tree; every message says what was got, what was expected and what to do.

VideoPerceiverError           anything this package raises on purpose (the CLI prints it and exits 2)
├── ConfigError               a recipe or an option is wrong
├── MissingExtraError         an optional package is not installed (the message holds the pip command)
├── RunError                  a run directory cannot be used, written or resumed
├── ModelError                a checkpoint or its processor cannot be used
├── EndpointError             a remote model does not answer as it should
├── EngineError               a rollout engine died, hung or returned something that is no completion
├── ManifestError             a manifest is malformed, of another version, or leaves its root
└── SampleError               one sample is bad: recorded in rejects.jsonl, the run goes on
    ├── VideoReadError        its media cannot be read
    ├── RewardError           a reward rule failed on one of its completions
    └── BudgetError           it does not fit a budget (tokens, memory, time); media are never truncated
"""

from typing import Any


class VideoPerceiverError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(VideoPerceiverError):
    """A recipe or an option is wrong."""


class MissingExtraError(VideoPerceiverError):
    """An optional package is not installed.

    Args:
        package: the import that failed.
        extra: the extra of this package that brings it.
        purpose: what it is needed for, as a noun phrase.
    """

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed. Run: pip install 'videoperceiver[{extra}]'")
        self.package, self.extra = package, extra


class RunError(VideoPerceiverError):
    """A run directory cannot be used, written or resumed."""


class ModelError(VideoPerceiverError):
    """A checkpoint or its processor cannot be used."""


class EndpointError(VideoPerceiverError):
    """A remote model does not answer as it should."""


class EngineError(VideoPerceiverError):
    """A rollout engine died, hung, refused or returned something that is no completion.

    Args:
        engine: its name.
        reason: what was got, what was expected, what to do.
    """

    def __init__(self, engine: str, reason: str):
        super().__init__(f"rollout engine {engine!r}: {reason}")
        self.engine, self.reason = engine, reason


class ManifestError(VideoPerceiverError):
    """A manifest is malformed, of another schema version, or names a path outside its root."""


class SampleError(VideoPerceiverError):
    """One sample is bad. Carries where it came from, so that rejects.jsonl can name it.

    Args:
        reason: what was got, what was expected, what to do.
        path: the media file, where there is one.
        sample_id: the manifest's id, where known.
    """

    def __init__(self, reason: str, *, path: str | None = None, sample_id: str | None = None):
        where = ", ".join(f"{name} {value!r}" for name, value in (("sample", sample_id), ("file", path)) if value)
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason, self.path, self.sample_id = reason, path, sample_id

    def __reduce__(self) -> tuple[Any, ...]:  # crosses the decode workers' pipe with its fields intact
        return (_rebuild_sample_error, (type(self), self.reason, self.path, self.sample_id))


def _rebuild_sample_error(cls: type[SampleError], reason: str, path: str | None, sample_id: str | None) -> SampleError:
    return cls(reason, path=path, sample_id=sample_id)


class VideoReadError(SampleError):
    """Media that cannot be read."""


class RewardError(SampleError):
    """A reward rule failed on one completion, which is then left out of the loss."""


class BudgetError(SampleError):
    """A sample that does not fit a budget of tokens, memory or time; media are never truncated to make it fit."""
