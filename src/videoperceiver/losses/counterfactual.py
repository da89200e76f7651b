"""Terms that put V' into the gradient of the answer (docs/method.md, "Beyond the paper"): each needs pi(.|V') at the answer tokens."""

from torch import Tensor


def uniform_on_degraded(degraded_log_probs: Tensor, candidates: Tensor) -> Tensor:
    """Cross-entropy from the uniform distribution over the answer class to pi(.|V'): without the event every answer is as good.

    An id listed twice counts twice: two options that begin with the same token share a first token of twice the mass.

    Args:
        degraded_log_probs: (N, V) log-softmax on V' at each answer's (first) token, with gradient.
        candidates: (N, C) token ids of the class's members at that position, padded with -1.

    Returns:
        Scalar, the mean over rows with at least two candidates; 0 (with a graph) without any. Its least value is the mean log C.

    Raises:
        ValueError: the shapes do not fit.
    """
    if candidates.ndim != 2 or len(candidates) != len(degraded_log_probs):
        raise ValueError(f"candidates have shape {tuple(candidates.shape)}, expected ({len(degraded_log_probs)}, C): one row for each row of log_probs")
    listed = candidates >= 0  # (N, C)
    count = listed.sum(dim=1)
    log_probs = degraded_log_probs.float().gather(1, candidates.clamp(min=0)).where(listed, 0.0)  # (N, C)
    losses = -log_probs.sum(dim=1) / count.clamp(min=1)
    open_rows = count >= 2  # one candidate would teach that answer instead of doubt
    return losses.where(open_rows, 0.0).sum() / open_rows.sum().clamp(min=1)


def product_of_experts(log_probs: Tensor, degraded_log_probs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of softmax(log pi(V) + stopgrad log pi(V')): V need not learn what V' already tells. Use pi(V) alone at inference.

    Args:
        log_probs: (N, V) log-softmax on V, with gradient.
        degraded_log_probs: (N, V) log-softmax on V'; no gradient flows into it.
        targets: (N,) token ids.

    Returns:
        Scalar, the mean over rows; 0 (with a graph) without rows.
    """
    joint = log_probs.float() + degraded_log_probs.detach().float()  # (N, V)
    losses = joint.logsumexp(dim=1) - joint.gather(1, targets[:, None])[:, 0]
    return losses.sum() / max(len(targets), 1)


def capped_kl(log_probs: Tensor, degraded_log_probs: Tensor, cap: float, answer: Tensor | None = None) -> Tensor:
    """Margin loss max(0, cap - KL(pi(V) || pi(V'))), for answers without a class; 0 once the two differ by `cap` nats.

    Detach `log_probs` to move V' alone; otherwise both distributions move apart.

    Args:
        log_probs: (N, V) log-softmax on V.
        degraded_log_probs: (N, V) log-softmax on V' at the same tokens.
        cap: nats a row, above 0; with `answer`, nats an answer.
        answer: (N,) long, which answer a token belongs to, numbered from 0. The KL of an answer is then the sum over its tokens, so that tokens which V
            tells nothing about ("the", the end of turn) are not driven apart.

    Returns:
        Scalar, the mean over rows or answers; 0 (with a graph) without any.
    """
    if cap <= 0:
        raise ValueError(f"cap is {cap}, expected above 0: at 0 the term is 0 everywhere")
    log_p, log_q = log_probs.float(), degraded_log_probs.float()
    kl = (log_p.exp() * (log_p - log_q)).sum(dim=1)
    if answer is not None:
        kl = kl.new_zeros(int(answer.max()) + 1 if len(answer) else 0).index_add(0, answer, kl)
    return (cap - kl).clamp(min=0).sum() / max(len(kl), 1)
