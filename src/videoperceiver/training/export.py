"""The folder a run leaves: a plain Hugging Face model with its processor and a model card, and the way to the hub.

It is made on the CPU from the recipe's model and the trained weights: the same whether they came from one process, from ranks or from a checkpoint.
"""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.distributed.tensor import DTensor

from videoperceiver.errors import ConfigError, EndpointError, RunError
from videoperceiver.models.backbone import ADAPTER_FOLDER, BESIDE, Backbone
from videoperceiver.runs import Run, explain
from videoperceiver.stages import ExportConfig, GrpoConfig, ModelConfig, SftConfig
from videoperceiver.training import checkpoints
from videoperceiver.training.model_card import model_card
from videoperceiver.training.policy import Policy, load_backbone, trained

logger = logging.getLogger(__name__)
MODEL = "model"
KEY = "HF_TOKEN"
CONFIGS: dict[str, type[SftConfig | GrpoConfig]] = {"sft": SftConfig, "grpo": GrpoConfig}


def finish(run: Run, policy: Policy, config: SftConfig | GrpoConfig) -> None:
    """Writes the run's `model` folder as the recipe's `export` says; every rank calls it.

    Raises:
        RunError: it could not be written.
        ConfigError: it shall go to the hub, and no key is set.
    """
    best = checkpoints.best(run.folder / "checkpoints", config.held_out.best_by) if config.held_out.best_by else None
    weights = checkpoints.weights(best, average=config.export.ema) if best else whole_weights(policy, average=config.export.ema)
    if policy.world.speaks:
        folder = write(run, config.model, config.export, weights, run.folder / MODEL, source=best)
        if config.export.push_to_hub:
            push(folder, config.export.push_to_hub)
    policy.world.barrier()


def export(run: Run, settings: ExportConfig, *, checkpoint: str = "last", output: Path | None = None) -> Path:
    """Writes the model of one of a run's checkpoints, as the run's own `model` folder is written.

    Args:
        run: of stage 1 or 2, finished or not.
        settings: adapter or merged weights, the average or the weights themselves, to the hub or not.
        checkpoint: "last", "best" (by the recipe's held_out.best_by) or a number of steps.
        output: a new or empty folder; None = one in the run's folder, named after the step.

    Raises:
        RunError: there is no such checkpoint, the output is taken or cannot be written.
    """
    if run.stage not in CONFIGS:
        raise RunError(f"{run.folder} holds a run of stage {run.stage!r}; expected one that trains a model: {' or '.join(CONFIGS)}")
    config = run.config(CONFIGS[run.stage])
    source = _chosen(run, checkpoint, config.held_out.best_by)
    kind = ("-adapter" if settings.adapter else "") + ("-ema" if settings.ema else "")
    output = output or run.folder / f"model-{source.name}{kind}"
    if output.exists() and any(output.iterdir()):
        raise RunError(f"{output} is not empty: expected a new folder for the model, name another one")
    folder = write(run, config.model, settings, checkpoints.weights(source, average=settings.ema), output, source=source)
    if settings.push_to_hub:
        push(folder, settings.push_to_hub)
    return folder


def _chosen(run: Run, checkpoint: str, best_by: str) -> Path:
    folder = run.folder / "checkpoints"
    there = sorted(folder.glob("step-*"))
    if checkpoint == "last":
        found = checkpoints.newest(run)
    elif checkpoint == "best":
        found = checkpoints.best(folder, best_by)
    else:
        found = run.checkpoint_path(int(checkpoint)) if checkpoint.isdecimal() else None
    if found not in there:
        steps = ", ".join(str(int(path.name.removeprefix("step-"))) for path in there) or "none"
        raise RunError(f"{run.folder}: no checkpoint {checkpoint!r}; expected last, best (where held_out.best_by is set) or one of the steps there: {steps}")
    return found


def whole_weights(policy: Policy, *, average: bool = False) -> dict[str, Tensor]:
    """The trained weights (or their average) by name, on the CPU of rank 0; empty on the others. Every rank calls it."""
    if average and policy.average is None:
        raise ConfigError("export.ema asks for averaged weights, and optim.ema_decay is 0, so none are kept; set it, e.g. to 0.999")
    found = {}
    for name, weight in trained(policy.backbone).items():
        tensor = policy.average[name] if average and policy.average is not None else weight.detach()
        tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if policy.world.speaks:
            found[name] = tensor.cpu()
    return found


def write(run: Run, config: ModelConfig, settings: ExportConfig, weights: Mapping[str, Tensor], folder: Path, *, source: Path | None) -> Path:
    """Writes the model folder, whole or not at all.

    Args:
        run: for the card.
        config: the recipe's model.
        settings: adapter or merged.
        weights: what was trained, by name.
        folder: replaced.
        source: the checkpoint they came from, None for the end of the run.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write_model(with_weights(config, weights), config, settings, part)
        (part / "README.md").write_text(model_card(run, config, settings, source=source), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise RunError(f"the model could not be written: {explain(error, folder)}") from error
    return folder


def with_weights(config: ModelConfig, weights: Mapping[str, Tensor]) -> Backbone:
    """The recipe's model on the CPU, its trained weights replaced."""
    backbone = load_backbone(config)
    wanted = trained(backbone)
    weights = {name: weight for name, weight in weights.items() if not name.startswith(BESIDE)}
    if wanted.keys() != weights.keys():
        odd = sorted(wanted.keys() ^ weights.keys())[:3]
        raise RunError(f"the trained weights are those of another model than {config.path} (e.g. {', '.join(odd)}); use the recipe they were made with")
    with torch.no_grad():
        for name, weight in wanted.items():
            weight.copy_(weights[name])
    return backbone


def _write_model(backbone: Backbone, config: ModelConfig, settings: ExportConfig, folder: Path) -> None:
    if isinstance(backbone.model, PeftModel):
        if settings.adapter:
            backbone.model.save_pretrained(str(folder))
            backbone.processor.save_pretrained(folder)
            return
        backbone.model.save_pretrained(str(folder / ADAPTER_FOLDER))
        merged: Any = backbone.model.float().merge_and_unload()  # added up in float32, then rounded once
        backbone = Backbone(merged, backbone.processor)
    backbone.to(getattr(torch, config.dtype)).save(folder)


def push(folder: Path, name: str) -> str:
    """Uploads a folder to a private repository of the hub, made where there is none; returns its address. The key comes from HF_TOKEN and is shown nowhere.

    Raises:
        ConfigError: no key is set.
        EndpointError: the hub refused.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError  # whichever HTTP client this version of the hub's package uses

    key = os.environ.get(KEY)
    if not key:
        raise ConfigError(f"export.push_to_hub={name!r}: no key is set; put a token with write access into the environment variable {KEY}")
    hub = HfApi(token=key)
    try:
        hub.create_repo(name, private=True, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload of a VideoPerceiver run")
    except HFValidationError as error:
        raise ConfigError(f"export.push_to_hub={name!r}: {error}") from error
    except (HTTPError, OSError) as error:
        reason = str(error).replace(key, "***").strip().splitlines()[0]
        raise EndpointError(f"{folder} could not be uploaded to {name!r} ({reason}); it is complete here: `videoperceiver export` can send it again") from None
    address = f"{hub.endpoint}/{name}"
    logger.info("uploaded to %s", address)
    return address
