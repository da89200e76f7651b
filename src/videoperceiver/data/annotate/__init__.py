"""Annotators: who writes captions and temporal questions for clips that lack them.

"templated" asks what follows from annotated events; "endpoint" and "transformers" show frames with their times to a model and read what it writes.
Text out of a source or a model is data here: it is quoted, checked and stored, and never changes what is done.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from videoperceiver.data.annotate.templated import TemplatedAnnotator
from videoperceiver.data.annotate.vocabulary import labels_of
from videoperceiver.errors import SampleError
from videoperceiver.stages import AnnotateConfig
from videoperceiver.types import Clip, Sample

__all__ = ["Annotator", "labels_of", "load_annotator", "spend"]

_TOTALS = frozenset({"requests", "prompt_tokens", "answer_tokens", "cost"})


class Annotator(Protocol):
    """Adds captions and questions to samples.

    Attributes:
        name: which it is, model included.
        needs_frames: whether a clip must come with each sample.
        version: sha256 over its prompts and settings, 64 hex digits.
    """

    name: str
    needs_frames: bool
    version: str

    def annotate(self, items: Iterable[tuple[Sample, Clip | None]]) -> Iterator[Sample | SampleError]:
        """Samples with what was written, or why nothing could be, in order; what a source gave is kept. Pulls no further ahead than it answers at once.

        Raises:
            EndpointError: a server that answers nobody, or a spent budget.
        """
        ...

    def spent(self) -> dict[str, Any]:
        """Counts of what was written and what it cost."""
        ...


def load_annotator(config: AnnotateConfig, cache_folder: Path, labels: Sequence[str] = ()) -> Annotator | None:
    """The annotator of a config.

    Args:
        config: of stage 0, `annotate`.
        cache_folder: for a model's answers and what they cost, so that an interrupted run pays for nothing twice.
        labels: of the whole data set's spans (`labels_of`): what the templated annotator takes for "does not happen" and as further wrong options.

    Returns:
        None for method "none".

    Raises:
        ConfigError: the server's URL or model is missing.
        ModelError: a local model cannot be loaded.
        MissingExtraError: a package it needs is not installed.
    """
    if config.method == "none":
        return None
    if config.method == "templated":
        return TemplatedAnnotator(config, labels)
    if config.method == "endpoint":
        from videoperceiver.data.annotate.endpoint import EndpointAnnotator

        return EndpointAnnotator(config, cache_folder)
    from videoperceiver.data.annotate.local import TransformersAnnotator

    return TransformersAnnotator(config, cache_folder)


def spend(annotator: Annotator | None, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What an annotator is and what it wrote and cost, for result.json and the last table; {} for none.

    Args:
        annotator: after, or amid, its work.
        earlier: what this said at the end of the run's last session; counts are added to it, but for those that are kept on disk over all sessions.
    """
    if annotator is None:
        return {}
    found = annotator.spent()
    for name, count in (earlier or {}).items():
        if isinstance(count, int) and name not in _TOTALS:
            found[name] = found.get(name, 0) + count
        elif isinstance(count, Mapping):
            found[name] = dict(Counter(found.get(name, {})) + Counter(count))
    return {"annotator": annotator.name, "version": annotator.version, **found}
