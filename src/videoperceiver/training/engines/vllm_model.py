"""vLLM, asked the trainer's way: its tokens, pixels and positions, log-probabilities of the plain model, weights replaced in place.

Runs in whichever process has vLLM: the rollout server (`vllm_server.py`) or the trainer itself (`colocated.py`). Written against vLLM 0.32.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from videoperceiver.errors import MissingExtraError
from videoperceiver.training.engines.wire import Prompt, SampleReply, SampleRequest, Sampling, Video

NEVER = -100.0
"""Bias on the logits of media tokens: probability e^-100."""

Positions = dict[tuple[str, bytes], np.ndarray]
"""(video, prompt tokens) -> (3, L)."""


class Refused(ValueError):
    """The request does not fit this engine, whose weights are untouched; says what differs."""


class VllmModel:
    """A vLLM engine in this process.

    Args:
        folder: checkpoint with configuration and processor; weights too unless `empty`.
        dtype: of the weights.
        max_model_len: longest prompt and completion together, 0 = what the checkpoint says.
        memory_share: of the GPU's memory.
        lora_rank: the largest adapter it must take, 0 = none.
        sleep: whether it can leave the GPU between rollouts.
        empty: start with random weights; a sync brings the real ones.
        eager: without compilation and CUDA graphs.

    Attributes:
        version_of_vllm: as it names itself.
        can_sleep: whether the platform can do what `sleep` asks.
        asleep: whether it has left the GPU.

    Raises:
        MissingExtraError: vLLM is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        dtype: str = "bfloat16",
        max_model_len: int = 0,
        memory_share: float = 0.9,
        lora_rank: int = 0,
        sleep: bool = False,
        empty: bool = False,
        eager: bool = False,
    ):
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # positions and weights go to the model object itself; and a process alone leaves no child behind
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        try:
            import vllm  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "vllm", "vllm", "the vLLM rollout engine") from error
        self._vllm, self.version_of_vllm, self.lora_rank = vllm, str(vllm.__version__), lora_rank
        self.can_sleep = sleep and torch.cuda.is_available()  # vLLM on a CPU ignores sleep
        self._among_ranks = torch.distributed.is_initialized()  # by the trainer: vLLM joins its group, one engine and one device a rank
        self._llm = vllm.LLM(
            str(folder),
            dtype=dtype,
            max_model_len=max_model_len or None,
            gpu_memory_utilization=memory_share,
            enforce_eager=eager,
            distributed_executor_backend="external_launcher" if self._among_ranks else None,
            enable_lora=lora_rank > 0,
            max_lora_rank=max(lora_rank, 8),
            enable_sleep_mode=self.can_sleep,
            load_format="dummy" if empty else "auto",
            limit_mm_per_prompt={"video": 1, "image": 0},
            mm_processor_kwargs={"do_resize": False, "do_sample_frames": False},
            mm_device_do_normalize=False,  # on the device it would take the image processor's mean and std for videos too
            mm_processor_cache_gb=0,  # a rollout's videos are not seen again before the weights change
            generation_config="vllm",  # no sampling defaults of the checkpoint
            logprobs_mode="raw_logprobs",
            trust_remote_code=False,
            seed=0,
        )
        self._positions: Positions = {}
        self._llm.apply_model(_given_positions(self._positions))
        self._adapter: Any = None
        self._adapter_folder: tempfile.TemporaryDirectory | None = None
        self._num_adapters = 0
        self.asleep = False

    def sample(self, request: SampleRequest) -> SampleReply:
        """Draws the completions.

        Raises:
            Refused: this engine comes to other tokens, another grid or other times than the trainer, or cannot take a prompt of that length.
        """
        self._wake()
        self._positions.clear()
        engine = self._llm.llm_engine
        drawn: dict[str, Any] = {}
        with _plain_errors():
            inputs = [self._render(prompt, request.videos[prompt.video]) for prompt in request.prompts]
            names = [f"{i}" for i in range(len(inputs))]
            try:
                for name, prompt, rendered in zip(names, request.prompts, inputs, strict=True):
                    engine.add_request(name, rendered, self._parameters(request.sampling, prompt.seed), lora_request=self._adapter)
                while engine.has_unfinished_requests():
                    drawn |= {output.request_id: output for output in engine.step() if output.finished}
            finally:  # what an error left behind must not mix with the next request
                engine.abort_request([name for name in names if name not in drawn])
        return SampleReply([_read(drawn[name].outputs, request.sampling.num_generations) for name in names])

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Replaces the weights that are given, under transformers' names (vLLM maps them as it does a checkpoint's); the others stay, an adapter goes."""
        self._wake()
        with _plain_errors():
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
            self._llm.apply_model(_repack_head)
        self._drop_adapter()
        self._forget()

    def load_adapter(self, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        """Replaces the LoRA adapter.

        Raises:
            Refused: the engine was started for smaller adapters, or for none.
        """
        if config["r"] > self.lora_rank:
            raise Refused(f"got a LoRA adapter of rank {config['r']}, started for at most {self.lora_rank}; start the server with --lora-rank {config['r']}")
        from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

        self._wake()
        folder = tempfile.TemporaryDirectory(prefix="videoperceiver-lora-")
        save_file(tensors, Path(folder.name) / "adapter_model.safetensors")
        (Path(folder.name) / "adapter_config.json").write_text(json.dumps(config))
        self._drop_adapter()
        self._num_adapters += 1  # vLLM takes an adapter for known by its number
        self._adapter, self._adapter_folder = LoRARequest(f"policy-{self._num_adapters}", self._num_adapters, folder.name), folder
        with _plain_errors():
            self._llm.llm_engine.add_lora(self._adapter)
        self._forget()

    def sleep(self) -> None:
        """Leaves the GPU: weights to main memory, the cache dropped. Nothing where the platform cannot."""
        if self.can_sleep and not self.asleep:
            self._llm.sleep(level=1)
            self.asleep = True

    def close(self) -> None:
        """Lets go of the model."""
        if self._adapter_folder is not None:
            self._adapter_folder.cleanup()
        core = self._llm.llm_engine.engine_core
        if self._among_ranks:
            core.engine_core.model_executor.shutdown()  # the whole core's shutdown would take the trainer's process group with it
        else:
            core.shutdown()

    def _wake(self) -> None:
        if self.asleep:
            self._llm.wake_up()
            self.asleep = False

    def _drop_adapter(self) -> None:
        if self._adapter is not None and self._adapter_folder is not None:
            self._llm.llm_engine.remove_lora(self._adapter.lora_int_id)
            self._adapter_folder.cleanup()
            self._adapter, self._adapter_folder = None, None

    def _forget(self) -> None:
        """Keys, values and video features of the weights before."""
        self._llm.reset_prefix_cache()
        self._llm.llm_engine.reset_encoder_cache()

    def _render(self, prompt: Prompt, video: Video) -> Any:
        told = {
            "prompt_token_ids": prompt.ids.tolist(),
            "multi_modal_data": {"video": [(video.frames, dict(video.metadata))]},
            "multi_modal_uuids": {"video": [video.key]},
            "mm_processor_kwargs": {"do_resize": False, "do_sample_frames": False},
        }
        try:
            (rendered,) = self._llm.renderer.render_cmpl([told])
        except ValueError as error:
            raise Refused(f"vLLM's processor cannot use the prompt ({error})") from error
        _check_same(prompt, video, rendered)
        spelled = np.asarray(rendered["prompt_token_ids"], dtype=np.int64)
        self._positions[rendered["mm_hashes"]["video"][0], spelled.tobytes()] = prompt.positions
        return rendered

    def _parameters(self, sampling: Sampling, seed: int) -> Any:
        greedy = sampling.temperature == 0
        return self._vllm.SamplingParams(
            n=1 if greedy else sampling.num_generations,  # greedy completions are all the same, and vLLM takes no more than one
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=seed,
            stop_token_ids=list(sampling.stop_ids),
            ignore_eos=True,  # the stop tokens are the trainer's, no others
            logit_bias=dict.fromkeys(sampling.media_ids, NEVER),
            logprobs=0,
            detokenize=False,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """vLLM's own errors are no ValueErrors or RuntimeErrors (vLLM 0.32): a request at fault is `Refused`, the rest RuntimeError."""
    from vllm.exceptions import VLLMClientError, VLLMError  # pyright: ignore[reportMissingImports]

    try:
        yield
    except VLLMClientError as error:
        raise Refused(str(error)) from error
    except VLLMError as error:
        raise RuntimeError(str(error)) from error


def _check_same(prompt: Prompt, video: Video, rendered: Any) -> None:
    """Rollout and update must see the same video: its grid, its times, its tokens."""
    item = rendered["mm_kwargs"]["video"][0]
    grid = tuple(item["video_grid_thw"].data.tolist())
    if grid != tuple(video.grid_thw):
        raise Refused(f"vLLM's processor makes video_grid_thw {grid} of frames {video.frames.shape}, the trainer's is {tuple(video.grid_thw)}")
    if video.second_per_grid is not None:
        seconds = item["second_per_grid_ts"].data.to(torch.float32).item()
        if seconds != torch.tensor(video.second_per_grid, dtype=torch.float32).item():
            raise Refused(f"vLLM's processor makes second_per_grid_ts {seconds}, the trainer's is {video.second_per_grid}")
    spelled = rendered["prompt_token_ids"]
    if list(spelled) != prompt.spelled.tolist():
        at = next((i for i, (a, b) in enumerate(zip(spelled, prompt.spelled.tolist(), strict=False)) if a != b), min(len(spelled), len(prompt.spelled)))
        raise Refused(f"vLLM spells the prompt with {len(spelled)} tokens, the trainer with {len(prompt.spelled)}; they differ from token {at} on")


def _given_positions(given: Positions) -> Callable[[Any], None]:
    """Makes a model place its prompts where the trainer does, whatever rule its own code follows."""

    def install(model: Any) -> None:
        if not hasattr(model, "get_mrope_input_positions"):
            return

        def positions(input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
            placed = given[mm_features[0].mm_hash, np.asarray(input_tokens, dtype=np.int64).tobytes()]
            return torch.from_numpy(placed), int(placed[:, -1].max()) + 1 - len(input_tokens)

        model.get_mrope_input_positions = positions

    return install


def _repack_head(model: Any) -> None:
    """A head tied to the embeddings was loaded with them, but a CPU keeps a packed copy of its own (vLLM 0.32)."""
    for module in model.modules():
        if type(module).__name__ == "ParallelLMHead":
            module.quant_method.process_weights_after_loading(module)


def _read(outputs: list[Any], copies: int) -> list[tuple[np.ndarray, np.ndarray]]:
    drawn = []
    for output in sorted(outputs, key=lambda o: o.index):
        ids = np.asarray(output.token_ids, dtype=np.int64)
        logps = np.asarray([step[token].logprob for step, token in zip(output.logprobs, output.token_ids, strict=True)], dtype=np.float32)
        drawn.append((ids, logps))
    return drawn if len(drawn) == copies else drawn * copies
