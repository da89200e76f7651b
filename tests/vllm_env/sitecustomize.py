"""Goes into the test environment's site-packages: torchvision's compiled operators do not load beside torch's CPU wheel, and its import asks for two of them.

Their schemas are enough: nothing here calls them.
"""

import importlib.util

if importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision"):
    import torch

    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
