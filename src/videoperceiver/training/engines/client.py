"""The trainer's side of vLLM rollout servers."""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import torch
from peft import PeftModel
from torch import Tensor

from videoperceiver.errors import ConfigError, EngineError
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Seed
from videoperceiver.models.tree import Tree
from videoperceiver.training.engines import weights
from videoperceiver.training.engines.exchange import read_reply, sample_request
from videoperceiver.training.engines.protocol import Drawn
from videoperceiver.training.engines.remote import Remote
from videoperceiver.training.engines.wire import SampleReply, WeightsPart, WireError

logger = logging.getLogger(__name__)


class ServerEngine:
    """One rank's rollout servers.

    Rank r asks servers r, r + world_size, .. where there are at least as many servers as ranks, else server r modulo their number. The first rank of
    a server hands it the weights.

    Args:
        servers: URLs of all of the run, in the same order for every rank.
        backbone: the policy; its tokenizer decodes.
        deadline_s: of one request.
        dtype: what the policy computes in, and its servers too.
        rank: of this process.
        world_size: processes of the run.

    Raises:
        ConfigError: no servers.
        EngineError: one does not answer, computes in another type, or takes no such adapters.
    """

    def __init__(self, servers: Sequence[str], backbone: Backbone, deadline_s: float, *, dtype: str = "float32", rank: int = 0, world_size: int = 1):
        if not servers:
            raise ConfigError("engine.kind is server but engine.servers is empty; name at least one, as [http://127.0.0.1:8100]")
        mine = list(servers[rank::world_size]) if len(servers) >= world_size else [servers[rank % len(servers)]]
        self.backbone, self._dtype = backbone, dtype
        self.remotes = [Remote(url, deadline_s) for url in mine]
        self.name = ", ".join(remote.name for remote in self.remotes)
        self._pushes = rank < len(servers)
        self._version, self._complete = 0, False
        self._pool = ThreadPoolExecutor(len(self.remotes))
        for remote in self.remotes:
            self._check(remote)

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
        """See `RolloutEngine.sample`; trees are dealt to this rank's servers in turn."""

        def ask(i: int) -> Drawn:
            own, remote = slice(i, None, len(self.remotes)), self.remotes[i]
            if not trees[own]:
                return []
            request = sample_request(
                self.backbone,
                trees[own],
                leaves[own],
                num_generations=num_generations,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=seed + i if isinstance(seed, int) else seed[own],
                version=self._version,
            )
            try:
                reply = SampleReply.from_bytes(remote.post("/sample", request.to_bytes()))
            except WireError as error:
                raise EngineError(remote.name, f"{error}; is it a rollout server of this version?") from error
            return read_reply(self.backbone, reply, leaves[own], num_generations, max_new_tokens, remote.name)

        drawn: list = [None] * len(trees)
        for i, own in enumerate(self._pool.map(ask, range(len(self.remotes)))):
            drawn[i :: len(self.remotes)] = own
        return drawn

    def sync(self, backbone: Backbone) -> None:
        """Sends what changed: all weights the first time, then those that are trained; with LoRA the adapter alone."""
        self.backbone = backbone
        model, dtype = backbone.model, getattr(torch, self._dtype)
        if not self._complete or not isinstance(model, PeftModel):
            self._send(weights.model_weights(backbone, dtype, all_of_them=not self._complete), None)
        if isinstance(model, PeftModel):
            self._send(weights.adapter_weights(model, dtype), weights.adapter_config(model))
        self._complete = True
        if torch.distributed.is_initialized():  # nobody may ask a shared server before its weights are there
            torch.distributed.barrier()

    def close(self) -> None:
        """Servers go on: they belong to whoever started them."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, named: Iterable[tuple[str, Tensor]], adapter: dict | None) -> None:
        self._version += 1
        previous: dict[str, Tensor] = {}
        for part in chain(weights.parts(named), [None]):  # gathering is a collective, so ranks that send nothing run through it too
            if self._pushes and previous:
                body = WeightsPart(previous, self._version, part is None, adapter).to_bytes()
                list(self._pool.map(lambda remote, body=body: remote.post("/weights", body), self.remotes))
            previous = part or {}

    def _check(self, remote: Remote) -> None:
        about = remote.wait()
        logger.info("%s: %s", remote.name, about)
        if about["dtype"] != self._dtype:
            raise EngineError(
                remote.name, f"computes in {about['dtype']}, the recipe's model.dtype is {self._dtype}; start the server with --dtype {self._dtype}"
            )
        if isinstance(self.backbone.model, PeftModel) and (rank := weights.adapter_config(self.backbone.model)["r"]) > about["lora_rank"]:
            raise EngineError(
                remote.name, f"takes LoRA adapters up to rank {about['lora_rank']}, the policy's has {rank}; start the server with --lora-rank {rank}"
            )
