"""Relevance by a vision-language model, eq. (1): s_t = cos(e(f_t), mean_k e(k)), with CLIP, SigLIP 2 or BLIP-2 (the paper's) through transformers.

BLIP-2 has no single image vector: by its image-text contrastive head each frame has 32 query vectors, and the similarity is that of the best one
(https://arxiv.org/abs/2301.12597, section 3.1).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from videoperceiver.errors import ModelError
from videoperceiver.scoring.checkpoints import load_model, load_pretrained
from videoperceiver.scoring.scorer import RelevanceScorer

DEFAULT_MODELS = {"clip": "openai/clip-vit-base-patch32", "siglip2": "google/siglip2-base-patch16-224", "blip2": "Salesforce/blip2-itm-vit-g"}
_CLASSES = {"clip": "AutoModel", "siglip2": "AutoModel", "blip2": "Blip2ForImageTextRetrieval"}
_BATCH = 32
_SIGLIP_TEXT_TOKENS = 64  # trained with texts padded to this length


class VisionLanguageRelevance(RelevanceScorer):
    """Cosine of frame and mean keyword embedding.

    Args:
        backend: "clip", "siglip2" or "blip2".
        model: hub id or folder, safetensors only; None takes the backend's usual checkpoint.
        device: "cpu", "cuda", ..; None takes CUDA where present.

    Raises:
        ModelError: the checkpoint cannot be loaded or is of another kind.
    """

    needs_keywords = True
    size_px = 448

    def __init__(self, backend: str, model: str | None = None, device: str | None = None):
        self._backend, model = backend, model or DEFAULT_MODELS[backend]
        self.name = f"{backend}/{model}"
        self._processor = load_pretrained("AutoProcessor", model)
        self._model = load_model(_CLASSES[backend], model, device, dtype="auto")
        self._device = self._model.device
        if not self._model.config.model_type.startswith(backend.removesuffix("2")):
            raise ModelError(f"{model!r} is a {self._model.config.model_type!r} checkpoint; expected one for relevance={backend}")

    def describe(self, frames: np.ndarray) -> np.ndarray:
        """(n, Q, D) float16 unit vectors; Q is 1 except for BLIP-2's queries."""
        import torch

        vectors = []
        with torch.inference_mode():
            for start in range(0, len(frames), _BATCH):
                inputs = self._processor(images=list(frames[start : start + _BATCH]), return_tensors="pt").to(self._device)
                images = {name: value.to(self._model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}
                vectors.append(_unit(self._image_vectors(images)))
        return np.concatenate(vectors).astype(np.float16)

    def relate(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str], *, like: np.ndarray | None = None) -> np.ndarray:
        """(T,) float32 cosine in -1..1; of the best query where a frame has several."""
        mean = self._text_vectors(list(keywords)).mean(0)  # (D,)
        return (description.astype(np.float32) @ (mean / np.linalg.norm(mean))).max(axis=1)  # (T, Q) -> (T,)

    def _image_vectors(self, inputs: dict[str, Any]) -> Any:
        if self._backend != "blip2":
            return self._model.get_image_features(**inputs).pooler_output[:, None]  # (n, 1, D)
        model = self._model
        pixels = model.vision_model(pixel_values=inputs["pixel_values"]).last_hidden_state  # (n, P, D')
        queries = model.query_tokens.expand(len(pixels), -1, -1)
        return model.vision_projection(model.qformer(query_embeds=queries, encoder_hidden_states=pixels).last_hidden_state)  # (n, Q, D)

    def _text_vectors(self, texts: list[str]) -> np.ndarray:
        """(K, D) unit vectors."""
        import torch

        padding = {"padding": "max_length", "max_length": _SIGLIP_TEXT_TOKENS} if self._backend == "siglip2" else {"padding": True}
        inputs = self._processor.tokenizer(texts, truncation=True, return_tensors="pt", **padding).to(self._device)
        with torch.inference_mode():
            if self._backend != "blip2":
                names = ("input_ids", "attention_mask") if self._backend == "clip" else ("input_ids",)  # SigLIP attends to its padding
                return _unit(self._model.get_text_features(**{name: inputs[name] for name in names}).pooler_output)
            model = self._model
            hidden = model.qformer(query_embeds=model.embeddings(input_ids=inputs["input_ids"]), query_length=0, attention_mask=inputs["attention_mask"])
            return _unit(model.text_projection(hidden.last_hidden_state[:, 0]))


def _unit(vectors: Any) -> np.ndarray:
    return (vectors.float() / vectors.float().norm(dim=-1, keepdim=True)).cpu().numpy()
