"""lmms-eval's way in: our checkpoints as one of its models, our benchmarks as its tasks, to check each harness against the other.

Needs an environment of its own: lmms-eval 0.7 caps `av` below 16. The entry point group `lmms_eval.models` names `manifest`.
"""

from typing import Any


def manifest() -> Any:
    """What lmms-eval registers under the name "videoperceiver"."""
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports]

    return ModelManifest("videoperceiver", simple_class_path="videoperceiver.evaluation.lmms.model.VideoPerceiver")
