"""Public benchmarks, one small file each, all of the same shape (`base.Benchmark`).

DyBench, the other paired counterfactual benchmark, is not here: its row format could not be established (docs/benchmarks.md).
"""

from videoperceiver.evaluation.benchmarks import (
    charades_sta,
    favor_bench,
    lv_haystack,
    motionbench,
    mvbench,
    tempcompass,
    timeblind,
    tomato,
    tvbench,
    video_mme,
    video_mmmu,
    vru_accident,
    vsi_bench,
)
from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Protocol, cut_of

BENCHMARKS: dict[str, Benchmark] = {
    "motionbench": motionbench.BENCHMARK,
    "vru-accident": vru_accident.BENCHMARK,
    "mvbench": mvbench.BENCHMARK,
    "video-mme": video_mme.BENCHMARK,
    "vsi-bench": vsi_bench.BENCHMARK,
    "video-mmmu": video_mmmu.BENCHMARK,
    "favor-bench": favor_bench.BENCHMARK,
    "tempcompass": tempcompass.BENCHMARK,
    "tomato": tomato.BENCHMARK,
    "tvbench": tvbench.BENCHMARK,
    "lv-haystack": lv_haystack.BENCHMARK,
    "charades-sta": charades_sta.BENCHMARK,
    "timeblind": timeblind.BENCHMARK,
}
"""Name in recipes -> benchmark. One of your own is added by assignment; see examples/custom_benchmark.py."""

__all__ = ["BENCHMARKS", "Annotations", "Benchmark", "Protocol", "cut_of"]
