"""Caption metrics. Each is optional: where its package or its data is missing, it is "not computed" with the reason and how to get it, never 0.

ROUGE, METEOR (nltk), SPICE and COMET as VRU-Accident's official script computes them; METEOR (COCO's Java) and CIDEr as pycocoevalcap does.
"""

import os
import shutil
import string
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.scoring.extras import require

ROUGE = ("rouge1", "rouge2", "rougeL")


class NotComputedError(Exception):
    """A metric's data is missing: what, and how to get it."""


def measure(names: Sequence[str], references: Sequence[str], captions: Sequence[str]) -> dict[str, Any]:
    """The metrics named, over pairs of one reference and one caption.

    Returns:
        Name -> {"value": number, or ROUGE's parts} or {"not computed": reason}.

    Raises:
        ConfigError: an unknown name.
        ValueError: the lists are empty or of different lengths.
    """
    if unknown := [name for name in names if name not in METRICS]:
        raise ConfigError(f"benchmark.caption_metrics has {unknown[0]!r}, expected some of {', '.join(METRICS)}")
    _check(references, captions)
    found: dict[str, Any] = {"num": len(captions)}
    for name in names:
        try:
            found[name] = {"value": METRICS[name](references, captions)}
        except (NotComputedError, MissingExtraError) as error:
            found[name] = {"not computed": str(error)}
    return found


def rouge(references: Sequence[str], captions: Sequence[str]) -> dict[str, dict[str, float]]:
    """ROUGE-1, -2 and -L as VRU-Accident scores them: rouge_score with stemming; precision, recall and F averaged over captions apart.

    So the mean F need not lie where the mean precision and recall would put it.

    Returns:
        "rouge1" | "rouge2" | "rougeL" -> {"precision", "recall", "fmeasure"}.

    Raises:
        ValueError: the lists are empty or of different lengths.
        MissingExtraError: rouge_score is not installed.
    """
    _check(references, captions)
    scorer = require("rouge_score.rouge_scorer", extra="eval", purpose="ROUGE").RougeScorer(list(ROUGE), use_stemmer=True)
    scores = [scorer.score(reference, caption) for reference, caption in zip(references, captions, strict=True)]
    return {name: {part: sum(getattr(score[name], part) for score in scores) / len(scores) for part in ("precision", "recall", "fmeasure")} for name in ROUGE}


def meteor(references: Sequence[str], captions: Sequence[str]) -> float:
    """Mean METEOR of nltk, words by `word_tokenize`, single punctuation marks dropped.

    Raises:
        NotComputedError: nltk's WordNet or its tokenizer's data is not there.
        MissingExtraError: nltk is not installed.
    """
    _check(references, captions)
    score = require("nltk.translate.meteor_score", extra="eval", purpose="METEOR").meteor_score
    tokenize = require("nltk.tokenize", extra="eval", purpose="METEOR").word_tokenize

    def words(text: str) -> list[str]:
        return [word for word in tokenize(text) if word not in string.punctuation]

    try:
        return sum(score([words(ref)], words(said)) for ref, said in zip(references, captions, strict=True)) / len(captions)
    except (LookupError, OSError) as error:  # nothing there; or a WordNet that lacks files
        missing = str(error).strip().splitlines()
        what = next((line.strip() for line in missing if "Resource" in line), missing[0] if isinstance(error, OSError) else "its data is not there.")
        raise NotComputedError(f"METEOR (nltk): {what} Run: python -m nltk.downloader wordnet punkt_tab (without a network: docs/benchmarks.md)") from error


def meteor_coco(references: Sequence[str], captions: Sequence[str]) -> float:
    """Corpus METEOR 1.5 of COCO's evaluation (Java), over its own tokens; another number than nltk's."""
    scorer = require("pycocoevalcap.meteor.meteor", extra="eval", purpose="METEOR (COCO)")
    return _coco(lambda: scorer.Meteor(), references, captions, "METEOR (COCO)")


def cider(references: Sequence[str], captions: Sequence[str]) -> float:
    """CIDEr of COCO's evaluation; its word weights come from these very references, so numbers over different sets do not compare."""
    scorer = require("pycocoevalcap.cider.cider", extra="eval", purpose="CIDEr")
    return _coco(lambda: scorer.Cider(), references, captions, "CIDEr")


def spice(references: Sequence[str], captions: Sequence[str]) -> float:
    """SPICE's "All" F (Java, 8 GB of heap).

    Raises:
        NotComputedError: Java or the Stanford CoreNLP models, which no package ships, are missing.
    """
    module = require("pycocoevalcap.spice.spice", extra="eval", purpose="SPICE")
    library = Path(module.__file__ or ".").parent / "lib"
    if not list(library.glob("stanford-corenlp-*-models.jar")):
        raise NotComputedError(
            f"SPICE: {library} has no stanford-corenlp-3.6.0-models.jar. Run: python -c 'from pycocoevalcap.spice.get_stanford_models import "
            "get_stanford_models as get; get()' (a download of about 380 MB)"
        )
    return _coco(lambda: module.Spice(), references, captions, "SPICE")


def comet(references: Sequence[str], captions: Sequence[str]) -> float:
    """COMET with an empty source, as the official script calls it.

    Raises:
        NotComputedError: no checkpoint is named. It is loaded by torch's pickle, so only a trusted one may be.
    """
    path = os.environ.get("COMET_CHECKPOINT", "")
    if not path:
        raise NotComputedError("COMET: no package ships its weights. Download Unbabel/wmt22-comet-da, pip install unbabel-comet, COMET_CHECKPOINT=its .ckpt")
    model = require("comet", extra="eval", purpose="COMET (package unbabel-comet)").load_from_checkpoint(path)
    rows = [{"src": "", "mt": said, "ref": ref} for ref, said in zip(references, captions, strict=True)]
    scores = model.predict(rows, batch_size=8, gpus=0, progress_bar=False).scores
    return float(sum(scores) / len(scores))


METRICS: dict[str, Callable[[Sequence[str], Sequence[str]], Any]] = {
    "rouge": rouge,
    "meteor": meteor,
    "meteor-coco": meteor_coco,
    "cider": cider,
    "spice": spice,
    "comet": comet,
}


def _coco(make: Callable[[], Any], references: Sequence[str], captions: Sequence[str], name: str) -> float:
    """A pycocoevalcap score over PTB tokens; what it prints is dropped."""
    _check(references, captions)
    if shutil.which("java") is None:
        raise NotComputedError(f"{name}: there is no `java`, which its tokenizer needs. Install a Java runtime (11 or newer)")
    tokenizer = require("pycocoevalcap.tokenizer.ptbtokenizer", extra="eval", purpose=name).PTBTokenizer()
    with redirect_stdout(StringIO()):
        gold = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(references)})
        said = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(captions)})
        return float(make().compute_score(gold, said)[0])


def _check(references: Sequence[str], captions: Sequence[str]) -> None:
    if not references or len(references) != len(captions):
        raise ValueError(f"got {len(references)} references and {len(captions)} captions, expected as many of both and at least one")
