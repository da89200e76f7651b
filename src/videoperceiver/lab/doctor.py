"""Does it work here? What is installed, which devices compute, and what to type for what is missing; one clip decoded, three steps trained."""

import importlib.metadata as installed
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from packaging.requirements import Requirement

from videoperceiver.errors import VideoPerceiverError
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.dataset import render_dataset
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.models import Backbone, TreeBuilder, generate
from videoperceiver.types import Clip
from videoperceiver.video.read import read_clip

State = Literal["ok", "missing", "broken"]

DISTRIBUTION = "videoperceiver"
EXTRAS = {
    "text": "keywords, relevance and embeddings without a model hub; chat endpoints",
    "web": "the page",
    "eval": "caption metrics",
    "sources": "the sheets of MM-AU",
    "ray": "data at scale",
    "track": "TensorBoard, trackio, W&B",
    "vllm": "rollouts by vLLM; in an environment of its own",
    "demo": "three real clips",
}
"""Extra -> what it is for; those for developers are not looked at."""
LEAST_DISK_GB, LEAST_MEMORY_GB = 5, 4
_CANNOT = (VideoPerceiverError, OSError, RuntimeError, ValueError, ImportError)


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: of the thing.
        state: "missing" is an optional thing that is not there, "broken" keeps you from working.
        detail: what was seen.
        todo: what to type or to do, empty where nothing.
    """

    name: str
    state: State
    detail: str
    todo: str = ""


def examine() -> Iterator[Finding]:
    """Looks at everything, quick things first; takes some seconds."""
    yield Finding("Python", "ok", f"{platform.python_version()} in {sys.prefix}")
    yield from _packages()
    yield from _room()
    yield from _devices()
    yield _java()
    with tempfile.TemporaryDirectory(prefix="videoperceiver-doctor-") as folder:
        clips: list[Clip] = []
        yield _tried("decoding", lambda: _decode(Path(folder), clips), "reinstall the decoder: pip install --force-reinstall av")
        if clips:
            for device in ["cpu", *_accelerators()]:
                yield _tried(
                    f"training on {device}", lambda device=device: _train(Path(folder), clips[0], device), "run again with -vv and report what it says"
                )


def _packages() -> Iterator[Finding]:
    try:
        wanted = [Requirement(text) for text in installed.requires(DISTRIBUTION) or []]
    except installed.PackageNotFoundError:
        yield Finding("packages", "missing", f"{DISTRIBUTION} runs from its source, so what it requires is not known", "pip install -e .")
        return
    base = [need for need in wanted if need.marker is None]
    lacking = [problem for need in base if (problem := _lacking(need))]
    versions = ", ".join(f"{name} {installed.version(name)}" for name in ("torch", "transformers", "av") if _version(name))
    todo = f"pip install --upgrade {DISTRIBUTION}"
    yield Finding("packages", "broken", "; ".join(lacking), todo) if lacking else Finding("packages", "ok", versions)
    for extra, purpose in EXTRAS.items():
        needs = [need for need in wanted if need.marker is not None and need.marker.evaluate({"extra": extra})]
        lacking = [problem for need in needs if (problem := _lacking(need))]
        if not lacking:
            yield Finding(f"extra {extra}", "ok", purpose)
        elif extra == "vllm":
            yield Finding(f"extra {extra}", "missing", f"{purpose} ({'; '.join(lacking)})", "see docs/rollout-engines.md")
        else:
            yield Finding(f"extra {extra}", "missing", f"{purpose} ({'; '.join(lacking)})", f"pip install '{DISTRIBUTION}[{extra}]'")


def _version(name: str) -> str | None:
    try:
        return installed.version(name)
    except installed.PackageNotFoundError:
        return None


def _lacking(need: Requirement) -> str:
    """What is wrong with an installed package, empty if nothing."""
    version = _version(need.name)
    if version is None:
        return f"{need.name} is not installed"
    return "" if need.specifier.contains(version, prereleases=True) else f"{need.name} is {version}, needed {need.specifier}"


def _room() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    seen = f"{cores} cores, {memory:.0f} GB"
    small = memory < LEAST_MEMORY_GB
    yield Finding("machine", "broken" if small else "ok", seen, f"{LEAST_MEMORY_GB} GB are needed even for the demo" if small else "")
    free = shutil.disk_usage(".").free / 1e9
    todo = f"free some: checkpoints and caches want more than {LEAST_DISK_GB} GB" if free < LEAST_DISK_GB else ""
    yield Finding("disk", "broken" if todo else "ok", f"{free:.0f} GB free here", todo)


def _accelerators() -> list[str]:
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def _devices() -> Iterator[Finding]:
    found = _accelerators()
    for device in found:
        about = torch.cuda.get_device_properties(device)
        half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16: use model.dtype=float32"
        yield Finding(device, "ok", f"{about.name}, {about.total_memory / 1e9:.0f} GB, {half}")
    if not found and Path("/proc/driver/nvidia/version").exists():
        built = "built without CUDA" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}, which the driver may be too old for"
        yield Finding(
            "GPU",
            "broken",
            f"there is an NVIDIA driver, but torch {torch.__version__} sees no GPU: it was {built}",
            "see pytorch.org/get-started for its build",
        )
    elif not found:
        yield Finding(
            "GPU", "missing", "none; tiny models, data, plan and pages work without one", "rent one for models of 3 B and more: videoperceiver plan RECIPE"
        )


def _java() -> Finding:
    found = shutil.which("java")
    if found is None:
        return Finding("Java", "missing", "METEOR and SPICE of extra eval run on it", "install a Java runtime, for instance: apt install default-jre-headless")
    return Finding("Java", "ok", found)


def _tried(name: str, work: Callable[[], str], todo: str) -> Finding:
    try:
        return Finding(name, "ok", work())
    except _CANNOT as error:
        return Finding(name, "broken", f"{type(error).__name__}: {error}", todo)


def _decode(folder: Path, clips: list[Clip]) -> str:
    """Renders a clip, encodes it, and reads its frames back at their times."""
    (sample,) = render_dataset(folder / "clips", num_clips=1, seed=0, split="train", difficulty="bright")
    began = time.perf_counter()
    clip = read_clip(folder / "clips" / sample.video, t_s=sample.t_s)
    clips.append(clip)
    return f"{len(clip)} frames of {clip.frames.shape[2]}x{clip.frames.shape[1]} px in {1000 * (time.perf_counter() - began):.0f} ms"


def _train(folder: Path, clip: Clip, device: str) -> str:
    """Three steps of a tiny model on one question, and an answer.

    Raises:
        RuntimeError: the loss does not fall.
    """
    backbone = Backbone.load(build_tiny(folder / f"tiny-{device.replace(':', '-')}", VOCABULARY)).to(device)
    builder = TreeBuilder(backbone, clip)
    question = builder.question(builder.video(), "what colour is the flash ?")
    prompt = builder.tree()
    builder.answer(question, "red")
    optimizer = torch.optim.AdamW([p for p in backbone.parameters() if p.requires_grad], lr=1e-3)
    losses, began = [], time.perf_counter()
    for _ in range(3):
        loss = -backbone([builder.tree()]).logps.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if not losses[2] < losses[0]:
        raise RuntimeError(f"the losses of three steps are {losses}, expected them to fall")
    generate(backbone, [prompt], [[question]], num_generations=2, max_new_tokens=2, seed=0)
    return f"three steps and an answer in {time.perf_counter() - began:.1f} s, loss {losses[0]:.2f} to {losses[2]:.2f}"


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing is broken."""
    return all(finding.state != "broken" for finding in findings)
