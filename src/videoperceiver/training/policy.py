"""What is trained: the model with its optimizer, alone or spread over the ranks by DDP or FSDP2, in float32 or with bfloat16 arithmetic.

The trained weights are kept in float32 whatever `model.dtype` says: at a learning rate of 1e-5 most updates are smaller than bfloat16's step and would be lost.
bfloat16 is what the arithmetic and the frozen weights are in.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.gather import gathered
from videoperceiver.models.tree import Tree
from videoperceiver.stages import ContrastiveConfig, ModelConfig, OptimConfig, RuntimeConfig
from videoperceiver.training import runtime
from videoperceiver.training.world import ALONE, World

Wrap = Callable[[Backbone], nn.Module]


class Policy:
    """The model that a stage trains.

    Attributes:
        backbone: tokenizer, tree builders, generation.
        optimizer: over its trained weights.
        world: the ranks it is spread over.
        average: the moving average of the trained weights by name, None without one.
    """

    def __init__(self, backbone: Backbone, optimizer: torch.optim.Optimizer, world: World = ALONE, *, module: nn.Module | None = None, half: bool = False):
        self.backbone, self.optimizer, self.world = backbone, optimizer, world
        self._module = backbone if module is None else module
        self._half = half
        self._ema_decay = 0.0
        self.average: dict[str, Tensor] | None = None

    @classmethod
    def load(
        cls,
        model: ModelConfig,
        optim: OptimConfig,
        settings: RuntimeConfig,
        world: World = ALONE,
        *,
        seed: int = 0,
        contrastive: ContrastiveConfig | None = None,
    ) -> Self:
        """The recipe's model on this rank's device, ready to train.

        Args:
            model: which checkpoint, and what of it is trained.
            optim: of the stage.
            settings: how it is spread over ranks.
            world: the ranks.
            seed: of the weights that the checkpoint does not have (LoRA's).
            contrastive: stage 1's, whose text encoder's projection is trained beside the model.
        """
        backbone = load_backbone(model, seed)
        if contrastive is not None and contrastive.text_model:
            backbone.attach_text_encoder(contrastive.text_model)
        backbone = backbone.to(world.device).train()
        module = _WRAPS[strategy_of(model, settings, world)](backbone, model, world)
        half = model.dtype == "bfloat16" and not isinstance(next(backbone.parameters()), DTensor)
        policy = cls(backbone, runtime.build_optimizer(backbone, optim, contrastive.lr if contrastive else 0.0), world, module=module, half=half)
        if optim.ema_decay > 0:
            policy.keep_average(optim.ema_decay)
        return policy

    def __call__(self, trees: Sequence[Tree], tap_blocks: Sequence[int] = (), *, last: bool = True) -> TreeOutput:
        """`Backbone.forward` through DDP or FSDP2 and in the recipe's precision: the only forward that may carry gradients.

        Args:
            trees: of one micro-batch.
            tap_blocks: see `Backbone.forward`.
            last: whether it is the last micro-batch before the update; DDP reduces gradients only then (FSDP2 each time, which keeps no whole gradient).
        """
        if isinstance(self._module, DistributedDataParallel):
            self._module.require_backward_grad_sync = last
        with self.autocast():
            return self._module(trees, tap_blocks)

    def autocast(self) -> Any:
        """Arithmetic in the recipe's precision."""
        return torch.autocast(self.world.device.type, torch.bfloat16) if self._half else nullcontext()

    @contextmanager
    def sampling(self) -> Iterator[Backbone]:
        """Evaluation mode, whole weights on every rank and the recipe's precision, for generation and for forwards without gradients."""
        training = self.backbone.training
        self.backbone.eval()
        try:
            with gathered(self.backbone), self.autocast():
                yield self.backbone
        finally:
            self.backbone.train(training)

    def update(self, lr: float, clip_norm: float, samples: Sequence[str] = ()) -> float:
        """Clips, steps, clears the gradients. Returns their norm before clipping, over all ranks.

        Raises:
            RunError: the norm is not finite; names the samples given.
        """
        norm = runtime.apply_gradients(self.backbone, self.optimizer, lr, clip_norm, samples)
        if self.average is not None:
            self._follow(self.average)
        return norm

    def keep_average(self, decay: float) -> None:
        """Begin a moving average of the trained weights: a <- decay a + (1 - decay) w after each update."""
        self._ema_decay = decay
        self.average = {name: weight.detach().clone() for name, weight in trained(self.backbone).items()}

    @torch.no_grad()
    def _follow(self, average: dict[str, Tensor]) -> None:
        for name, weight in trained(self.backbone).items():
            local(average[name]).lerp_(local(weight), 1 - self._ema_decay)


def load_backbone(model: ModelConfig, seed: int = 0, *, path: str | Path | None = None) -> Backbone:
    """The recipe's model on the CPU: what is trained in float32, what is frozen in `model.dtype`."""
    torch.manual_seed(seed)
    options = runtime.model_options(model)
    options["dtype"] = "float32"
    backbone = Backbone.load(path or model.path, **options)
    frozen = getattr(torch, model.dtype)
    for weight in backbone.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.to(frozen)
    return backbone


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """The trained weights by name."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a weight that FSDP2 spread; any other tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def strategy_of(model: ModelConfig, settings: RuntimeConfig, world: World) -> str:
    """ "alone", "ddp" or "fsdp2"."""
    if world.size == 1:
        return "alone"
    chosen = settings.strategy
    return ("ddp" if model.lora_rank else "fsdp2") if chosen == "auto" else chosen


def _ddp(backbone: Backbone, model: ModelConfig, world: World) -> nn.Module:
    """Whole weights on each rank. A micro-batch may lack video, or keywords, and leave out a trained tower or projection."""
    partly = not model.freeze_vision or backbone.text_projection is not None
    return DistributedDataParallel(backbone, gradient_as_bucket_view=True, find_unused_parameters=partly)


def _fsdp2(backbone: Backbone, model: ModelConfig, world: World) -> nn.Module:
    """Each decoder block is gathered when it runs; all else once a forward, the tower too: no rank waits for one that has no video."""
    half = torch.bfloat16 if model.dtype == "bfloat16" else None
    # Inputs are left alone: a forward's are trees, and casting would take those apart and put them together anew.
    precision = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32 if half else None, cast_forward_inputs=False)
    mesh = init_device_mesh(world.device.type, (world.size,))
    blocks: list[Any] = list(backbone.adapter.decoder.layers)
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=precision)
    whole: Any = fully_shard(backbone, mesh=mesh, mp_policy=precision)
    # What is gathered ahead in the backward pass is named here. Left alone, FSDP2 goes by the forwards it has seen, decoding steps among them, of which each
    # rank makes as many as its completions are long: ranks would then wait for each other in different collectives.
    for before, module in zip([whole, *blocks], [*blocks, whole], strict=True):
        module.set_modules_to_backward_prefetch([before])
    return backbone


_WRAPS = {"alone": lambda backbone, model, world: backbone, "ddp": _ddp, "fsdp2": _fsdp2}
