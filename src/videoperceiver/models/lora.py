"""LoRA on the language blocks (PEFT)."""

import warnings
from dataclasses import dataclass

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from videoperceiver.models.adapters import Adapter


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation.

    Attributes:
        rank: of the update.
        alpha: its scale is alpha / rank.
        dropout: on its input.
        vision: whether the vision tower gets it too (PEFT's "all-linear" would always do that).
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    vision: bool = False


def add(adapter: Adapter, lora: Lora) -> PeftModel:
    """Wrap the adapter's model; every linear layer of the decoder blocks is adapted, named in full so that no other can match."""
    inside = [adapter.decoder.layers, *(adapter.vision if lora.vision else [])]
    chosen = {id(module) for root in inside for module in root.modules() if isinstance(module, nn.Linear)}
    targets = [name for name, module in adapter.model.named_modules() if id(module) in chosen]
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets)
    with warnings.catch_warnings():  # PEFT reads an attribute that transformers 5 renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(adapter.model, config)
