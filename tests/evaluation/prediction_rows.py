"""Rows of predictions.jsonl for the tests of this folder."""


def row(score, *, extracted="x", kind="word", family="f", condition="full", sample="s", question="q", reference="x", **tags):
    return {
        "sample": sample,
        "question": question,
        "family": family,
        "kind": kind,
        "condition": condition,
        "extracted": extracted,
        "reference": reference,
        "score": score,
        "tags": tags,
        "video": sample,
        "num_frames": 8,
    }
