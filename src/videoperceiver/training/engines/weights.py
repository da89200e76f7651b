"""The policy's weights as an engine needs them: under the model's own names, only what changed, in parts of bounded size."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from torch import Tensor
from torch.distributed.tensor import DTensor

from videoperceiver.models.backbone import Backbone

Named = Iterator[tuple[str, Tensor]]

PART_BYTES = 512 * 2**20
"""Weights of one message."""


def model_weights(backbone: Backbone, dtype: torch.dtype, *, all_of_them: bool) -> Named:
    """Full weights under the names that transformers' model gives them, without LoRA's.

    A collective under FSDP: every rank has to run through all of it.

    Args:
        backbone: the policy.
        dtype: what the engine computes in; the policy's trained weights are kept in float32.
        all_of_them: those that are not trained too; an engine that has them needs only the others.
    """
    for name, parameter in backbone.adapter.model.named_parameters():
        if ".lora_" not in name and (all_of_them or parameter.requires_grad):
            yield name.replace(".base_layer", ""), whole(parameter).to(dtype)


def adapter_weights(model: PeftModel, dtype: torch.dtype) -> Named:
    """The LoRA adapter's weights under PEFT's names. A collective under FSDP."""
    for name, tensor in get_peft_model_state_dict(model).items():
        yield name, whole(tensor).to(dtype)


def adapter_config(model: PeftModel) -> dict[str, Any]:
    """PEFT's adapter_config.json."""
    config = model.peft_config["default"].to_dict()
    return {
        key: sorted(value) if isinstance(value, set) else value for key, value in config.items() if isinstance(value, str | int | float | list | set | None)
    }


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded over ranks (FSDP2's DTensor), in main memory."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()


def parts(weights: Iterable[tuple[str, Tensor]], limit_bytes: int = PART_BYTES) -> Iterator[dict[str, Tensor]]:
    """Tensors in order, in groups of at most `limit_bytes` (a larger tensor is a group of its own)."""
    group: dict[str, Tensor] = {}
    size = 0
    for name, tensor in weights:
        if group and size + tensor.nbytes > limit_bytes:
            yield group
            group, size = {}, 0
        group[name] = tensor
        size += tensor.nbytes
    if group:
        yield group
