"""Drawing places from a pool without replacement by softmax(score / T), and the probability of what was drawn."""

import numpy as np

from core.arrays import Array, Float64, Int32


def drawn(score: Float64, temperature: float, places: int, noise: Float64) -> Int32:
    """Indices into a pool of `score` [n] for each place, in order, from Gumbel `noise` [..., n]. [..., <= places] int32

    The best of score / T + noise are a draw of Plackett and Luce: one after the other, by softmax among those left
    (Kool et al., "Stochastic Beams and Where to Find Them", ICML 2019).
    """
    perturbed = score / temperature + noise
    return np.argsort(-perturbed, axis=-1, kind="stable")[..., :places].astype(np.int32)


def propensities(score: Float64, temperature: float, order: Array) -> Float64:
    """P(this one | those before it are gone) of each place of `order` [..., places], in (0, 1]. [..., places]

    The sums run from the last place to the first, as logarithms: no small remainder is a difference of large sums.
    """
    logits = score / temperature
    gone = np.zeros((*order.shape[:-1], len(score)), np.bool_)
    np.put_along_axis(gone, np.asarray(order, np.int64), True, axis=-1)
    never = np.where(gone, -np.inf, logits)
    rest = np.logaddexp.reduce(never, axis=-1, keepdims=True) if len(score) else np.zeros((*order.shape[:-1], 1))
    chosen = logits[order]
    backwards = np.concatenate([rest, chosen[..., ::-1]], axis=-1)
    left = np.logaddexp.accumulate(backwards, axis=-1)[..., :0:-1]
    return np.asarray(np.minimum(np.exp(chosen - left), 1.0))
