"""Features of V' when 2 of 16 temporal patches changed, as a share of encoding V."""

from tree_common import arguments, clips, medians, pair, report

from videoperceiver.models import Tree, TreeBuilder
from videoperceiver.models.adapters import Features

GOAL = 0.25
DEGRADED = [*range(15), 14, 14, *range(17, 32)]  # frames 15 and 16, of patches 7 and 8


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__).quick
    models = pair(freeze_vision=True)
    videos = clips(4 if quick else 8, frames=32, side_px=64, fps=4)

    def planted(degraded: bool) -> list[Tree]:
        out = []
        for clip in videos:
            builder = TreeBuilder(models.backbone, clip, DEGRADED if degraded else None)
            _ = builder.degraded() if degraded else builder.video()
            out.append(builder.tree())
        return out

    def encode(trees: list[Tree], known: Features | None) -> Features:
        for tree in trees:  # what a stage finds: nothing, or V's features
            tree.memory.clear()
            if known is not None:
                tree.memory.update(patches=16, features=known)
        features = models.backbone.features(trees)
        assert features is not None
        return features

    plain, twins = planted(False), planted(True)
    assert [len(tree.patches) for tree in (plain[0], twins[0])] == [16, 18]
    encode(plain, None)
    known = plain[0].memory["features"]
    full_s, changed_s = medians(lambda: encode(plain, None), lambda: encode(twins, known), repeats=9)
    tokens = models.backbone.adapter.tokens_per_patch(64, 64)
    detail = {
        "v_ms": round(1e3 * full_s, 1),
        "v_prime_ms": round(1e3 * changed_s, 1),
        "clips": len(videos),
        "video_tokens": 16 * tokens,
        "changed": "2 of 16 patches",
    }
    report("vprime_features", changed_s / full_s, GOAL, detail | {"parameters": models.parameters}, at_most=True)


if __name__ == "__main__":
    main()
