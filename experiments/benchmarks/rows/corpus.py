"""A corpus with the statistics of SST-2's phrases: TF-IDF rows, and labels that a few words decide.

67,349 rows of 9.4 words in the mean, the words of a row drawn by Zipf's law; SST-2 itself is not at hand. No
row is empty; a word that is drawn twice counts twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

ROWS = 67_349
_MEAN_LENGTH, _SPREAD = 9.4, 0.8  # of a log-normal law, as of SST-2's phrases: most are short, some have 50
_EXPONENT = 1.05
_DECISIVE, _STRENGTH, _NOISE = 2_000, 4.0, 0.5


def corpus(terms: int, rows: int = ROWS, seed: int = 22) -> tuple[Any, NDArray[np.int64]]:
    """TF-IDF, (rows, terms) CSR of float64 whose rows have norm 1, and labels 0 and 1, (rows,)."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.normal(np.log(_MEAN_LENGTH) - _SPREAD**2 / 2, _SPREAD, size=rows))
    lengths = np.maximum(1, np.rint(lengths)).astype(np.int64)
    odds = 1.0 / np.arange(2, terms + 2) ** _EXPONENT
    words = rng.choice(terms, size=lengths.sum(), p=odds / odds.sum())
    places = np.repeat(np.arange(rows), lengths)
    counts = sp.csr_array((np.ones(len(words)), (places, words)), shape=(rows, terms))
    counts.sum_duplicates()
    documents = np.bincount(counts.indices, minlength=terms)
    counts.data *= np.log((1 + rows) / (1 + documents))[counts.indices] + 1
    norms = np.sqrt(counts.multiply(counts).sum(axis=1))
    counts.data /= np.repeat(norms, np.diff(counts.indptr))
    truth = np.zeros(terms)
    truth[rng.choice(terms, size=min(_DECISIVE, terms), replace=False, p=odds / odds.sum())] = rng.normal(
        0, _STRENGTH, size=min(_DECISIVE, terms)
    )
    scores = counts @ truth + rng.normal(0, _NOISE, size=rows)
    return counts, (rng.random(rows) < expit(scores)).astype(np.int64)
