"""Caption metrics that a package computes; each needs the extra `eval`."""

from collections.abc import Sequence

from videoperceiver.errors import MissingExtraError

ROUGE = ("rouge1", "rouge2", "rougeL")


def rouge(references: Sequence[str], captions: Sequence[str]) -> dict[str, dict[str, float]]:
    """ROUGE-1, -2 and -L as VRU-Accident scores them: rouge_score with stemming; precision, recall and F averaged over captions apart.

    So the mean F need not lie where the mean precision and recall would put it.

    Returns:
        "rouge1" | "rouge2" | "rougeL" -> {"precision", "recall", "fmeasure"}.

    Raises:
        ValueError: the lists are empty or of different lengths.
        MissingExtraError: rouge_score is not installed.
    """
    if not references or len(references) != len(captions):
        raise ValueError(f"got {len(references)} references and {len(captions)} captions, expected as many of both and at least one")
    try:
        from rouge_score.rouge_scorer import RougeScorer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError("rouge_score", "eval", "ROUGE") from error
    scorer = RougeScorer(list(ROUGE), use_stemmer=True)
    scores = [scorer.score(reference, caption) for reference, caption in zip(references, captions, strict=True)]
    return {name: {part: sum(getattr(score[name], part) for score in scores) / len(scores) for part in ("precision", "recall", "fmeasure")} for name in ROUGE}
