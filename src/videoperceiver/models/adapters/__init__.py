"""One small file a model family, all answering the same questions (`base.Adapter`)."""

from videoperceiver.errors import ModelError
from videoperceiver.models.adapters.base import Adapter, Features, VideoTokens
from videoperceiver.models.adapters.internvl import InternVLAdapter
from videoperceiver.models.adapters.qwen2_5_vl import Qwen25VLAdapter
from videoperceiver.models.adapters.qwen3_vl import Qwen3VLAdapter

ADAPTERS: dict[str, type[Adapter]] = {"qwen2_5_vl": Qwen25VLAdapter, "qwen3_vl": Qwen3VLAdapter, "internvl": InternVLAdapter}
"""Adapter of each `config.model_type`. Register another family here."""


def check_family(model_type: str, where: str) -> type[Adapter]:
    """The adapter of a model type.

    Raises:
        ModelError: no adapter for it.
    """
    if model_type not in ADAPTERS:
        known = ", ".join(ADAPTERS)
        raise ModelError(f"{where}: got a checkpoint of type {model_type!r}, expected one of {known}; other families need an adapter in models/adapters")
    return ADAPTERS[model_type]


__all__ = ["ADAPTERS", "Adapter", "Features", "VideoTokens", "check_family"]
