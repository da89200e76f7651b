"""X_T as the paper has it: tokens of a BERT text encoder, projected to the language model's width (paper 3.2)."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from videoperceiver.errors import ModelError


class TextEncoder:
    """A frozen BERT-like encoder; texts are short and repeat, so it runs on the CPU and remembers.

    It is no module of the policy: it has nothing to train, to shard or to save. What is trained is the projection (`projection`).

    Args:
        id_or_path: a folder or hub id of any encoder that AutoModel loads (safetensors only, no remote code).

    Raises:
        ModelError: no such checkpoint.
    """

    def __init__(self, id_or_path: str | Path):
        where = str(id_or_path)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
            model = AutoModel.from_pretrained(where, dtype=torch.float32, use_safetensors=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"{where}: no text encoder loads from there ({error}); give a folder or hub id of a BERT checkpoint with safetensors") from error
        self._model = model.eval().requires_grad_(False)
        self.width: int = model.config.hidden_size
        self._remembered = lru_cache(8192)(self._encode)

    def __call__(self, text: str) -> Tensor:
        """Last hidden states (n, width) float32 of the text's tokens, the encoder's own specials among them."""
        return self._remembered(text)

    @torch.no_grad()
    def _encode(self, text: str) -> Tensor:
        inputs = self._tokenizer(text, truncation=True, return_tensors="pt")
        return self._model(**inputs).last_hidden_state[0]


def projection(width: int, table: Tensor) -> nn.Linear:
    """A projection from the encoder's width to that of a token embedding table (V, D), so that what it makes starts at the size of the model's own tokens."""
    layer = nn.Linear(width, table.shape[1], device=table.device, dtype=table.dtype)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = torch.randn(table.shape[1], width) * (table.float().std().item() / width**0.5)
        layer.weight.copy_(drawn)
        layer.bias.zero_()
    return layer
