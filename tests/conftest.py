"""Fixtures shared by every folder: one thread, local clips, tiny drawn videos."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads cost more than they bring
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import av
import numpy as np
import pytest

SHARED = Path(__file__).parents[1] / ".." / "shared"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of local material beside the checkout; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside this checkout")
    return SHARED.resolve()


@pytest.fixture
def clip_file(tmp_path: Path) -> Callable[..., Path]:
    """`clip_file(frames, fps, codec="libx264", name="clip.mp4", t_s=None, **options) -> Path` encodes frames (T, H, W, 3) uint8.

    `t_s` gives each frame its own time (variable frame rate); `options` go to the encoder. H.264 is written in full-colour
    4:4:4 with crf 0, so that decoded pixels are within rounding of what was drawn.
    """

    def write(frames: np.ndarray, fps: float = 8, *, codec: str = "libx264", name: str = "clip.mp4", t_s=None, pix_fmt: str | None = None, **options) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            if codec == "libx264":
                options = {"crf": "0", "preset": "ultrafast", **options}
                pix_fmt = pix_fmt or "yuv444p"
            stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options={key: str(value) for key, value in options.items()})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = pix_fmt or "yuv420p"
            stream.thread_count = 1
            if t_s is not None:
                stream.codec_context.time_base = Fraction(1, 90_000)
            for i, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                if t_s is not None:
                    frame.pts, frame.time_base = round(t_s[i] * 90_000), Fraction(1, 90_000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL that speaks the lab's words."""
    from videoperceiver.lab.backbone import build_tiny
    from videoperceiver.lab.tasks import VOCABULARY

    return build_tiny(tmp_path_factory.mktemp("model") / "tiny", VOCABULARY, seed=0)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of ten bright rendered clips with V'; the last has none."""
    from dataclasses import replace

    from videoperceiver.data import manifest
    from videoperceiver.lab.dataset import render_dataset
    from videoperceiver.video.degrade import degrade
    from videoperceiver.video.keyframes import contiguous, from_spans

    folder = tmp_path_factory.mktemp("data") / "clips"
    samples = []
    for sample in render_dataset(folder, num_clips=10, seed=0, split="train", difficulty="bright"):
        idx = from_spans(sample.t_s, sample.spans)
        made = degrade(len(sample.t_s), "hold", runs=contiguous(idx), keyframes_idx=idx)
        samples.append(replace(sample, keyframes_idx=tuple(map(int, idx)), degradation=made))
    samples[-1] = replace(samples[-1], degradation=None)
    manifest.write(samples, folder / "manifest.parquet")
    return folder / "manifest.parquet"


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT of a few words of the lab."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "flash", "red", ";"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        BertModel(BertConfig(vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)).save_pretrained(folder)
    return folder
