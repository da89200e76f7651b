"""Public benchmarks, one small file each, all of the same shape (`base.Benchmark`)."""

from videoperceiver.evaluation.benchmarks import motionbench, mvbench, video_mme, video_mmmu, vru_accident, vsi_bench
from videoperceiver.evaluation.benchmarks.base import Annotations, Benchmark, Protocol, cut_of

BENCHMARKS: dict[str, Benchmark] = {
    "motionbench": motionbench.BENCHMARK,
    "vru-accident": vru_accident.BENCHMARK,
    "mvbench": mvbench.BENCHMARK,
    "video-mme": video_mme.BENCHMARK,
    "vsi-bench": vsi_bench.BENCHMARK,
    "video-mmmu": video_mmmu.BENCHMARK,
}

__all__ = ["BENCHMARKS", "Annotations", "Benchmark", "Protocol", "cut_of"]
