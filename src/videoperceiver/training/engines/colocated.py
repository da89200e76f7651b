"""vLLM in the trainer's own process and on its GPU: for an environment whose vLLM and transformers go together."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import Tensor

from videoperceiver.errors import EngineError
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Seed
from videoperceiver.models.tree import Tree
from videoperceiver.training.engines import weights
from videoperceiver.training.engines.exchange import read_reply, sample_request
from videoperceiver.training.engines.protocol import Drawn
from videoperceiver.training.engines.vllm_model import Refused, VllmModel


class ColocatedEngine:
    """One vLLM a rank. It starts without weights and gets the policy's by `sync`; asleep, it leaves the GPU to the update.

    Args:
        backbone: the policy.
        memory_share: of the GPU, for vLLM's weights and cache.
        dtype: what the policy computes in.
        sleep: between rollouts, where the platform can (CUDA; a CPU cannot).
        max_model_len: longest prompt and completion together, 0 = what the checkpoint says.
        eager: without compilation and CUDA graphs.

    Raises:
        MissingExtraError: vLLM is not installed in this environment.
        EngineError: vLLM cannot start with these limits.
    """

    name = "vllm colocated"

    def __init__(
        self, backbone: Backbone, *, dtype: str = "float32", memory_share: float = 0.4, sleep: bool = True, max_model_len: int = 0, eager: bool = False
    ):
        self.backbone, self.sleep, self._complete = backbone, sleep, False
        self._dtype: torch.dtype = getattr(torch, dtype)
        rank = weights.adapter_config(backbone.model)["r"] if isinstance(backbone.model, PeftModel) else 0
        self._folder = tempfile.TemporaryDirectory(prefix="videoperceiver-vllm-")
        base = backbone.adapter.model
        base.config.save_pretrained(self._folder.name)
        base.generation_config.save_pretrained(self._folder.name)
        backbone.processor.save_pretrained(self._folder.name)
        options = {"dtype": dtype, "max_model_len": max_model_len, "memory_share": memory_share, "lora_rank": rank, "sleep": sleep, "eager": eager}
        try:
            with self._in_words("start"):
                self._model = VllmModel(self._folder.name, **options, empty=True)
        except BaseException:
            self._folder.cleanup()
            raise

    def sample(
        self,
        trees: Sequence[Tree],
        leaves: Sequence[Sequence[int]],
        *,
        num_generations: int,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: Seed,
    ) -> Drawn:
        """See `RolloutEngine.sample`."""
        request = sample_request(
            self.backbone,
            trees,
            leaves,
            num_generations=num_generations,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            version=0,
        )
        with self._in_words("draw"):
            reply = self._model.sample(request)
            if self.sleep:
                self._model.sleep()
        return read_reply(self.backbone, reply, leaves, num_generations, max_new_tokens, self.name)

    def sync(self, backbone: Backbone) -> None:
        """Copies what changed: all weights the first time, then those that are trained; with LoRA the adapter alone."""
        self.backbone = backbone
        model = backbone.model
        with self._in_words("take the weights"):
            if not self._complete or not isinstance(model, PeftModel):
                self._model.load(weights.model_weights(backbone, self._dtype, all_of_them=not self._complete))
            if isinstance(model, PeftModel):
                adapter: dict[str, Tensor] = dict(weights.adapter_weights(model, self._dtype))
                self._model.load_adapter(adapter, weights.adapter_config(model))
        self._complete = True

    @property
    def asleep(self) -> bool:
        """Whether vLLM has left the GPU."""
        return self._model.asleep

    def close(self) -> None:
        """Ends vLLM."""
        self._model.close()
        self._folder.cleanup()

    @contextmanager
    def _in_words(self, doing: str) -> Iterator[None]:
        """vLLM's own failures as ours; memory is told by the stage itself."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except Refused as error:
            raise EngineError(self.name, str(error)) from error
        except (RuntimeError, ValueError, KeyError, AssertionError, OSError) as error:
            raise EngineError(
                self.name,
                f"vLLM could not {doing} ({type(error).__name__}: {error}); see engine.max_model_len and engine.memory_share, then run the same command again",
            ) from error
