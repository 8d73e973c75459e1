"""Texts as rows that nothing was learned for: counts of hashed words, their numbers, or the letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

COUNTS, TOKENS, LETTERS = "words", "tokens", "letters"
INPUTS = (COUNTS, TOKENS, LETTERS)


def counted(texts: Sequence[str], places: int) -> sp.csr_array:
    """Return ``sign log(1 + |count|)`` of the words at each of ``places``, (n, places) sparse float32.

    A word is two letters or figures or more, in lower case; its place and its sign are those of
    scikit-learn's ``HashingVectorizer``. A row may be empty: no words, or two of a place cancel out.
    """
    x = sp.csr_array(_hashing(places).transform(list(texts)))
    x.eliminate_zeros()
    x.data = (np.sign(x.data) * np.log1p(np.abs(x.data))).astype(np.float32)
    return x


def numbered(texts: Sequence[str], vocabulary: int, length: int) -> NDArray[np.int32]:
    """Return the numbers of the first ``length`` words of each text, (n, length), 0 behind the last one.

    The words are those of ``counted``; the number of one, from 1 to ``vocabulary``, is its MurmurHash3 (32
    bits, seed 0, UTF-8) modulo ``vocabulary``, and 1: what stands for a word is made of its letters alone.
    """
    from sklearn.utils import murmurhash3_32

    words_of, known = _hashing(vocabulary).build_analyzer(), dict[str, int]()
    x = np.zeros((len(texts), length), dtype=np.int32)
    for row, text in enumerate(texts):
        words = words_of(text)[:length]
        for word in words:
            if word not in known:
                known[word] = 1 + int(murmurhash3_32(word, positive=True)) % vocabulary
        x[row, : len(words)] = [known[word] for word in words]
    return x


def lettered(texts: Sequence[str], length: int) -> NDArray[np.uint8]:
    """Return the first ``length`` bytes of each text in UTF-8, (n, w), 0 behind the last one.

    w is as much as the longest text takes; zeros in a text, which mean nothing in one, become spaces.
    """
    stored = [text.replace("\0", " ").encode()[:length] for text in texts]
    x = np.zeros((len(stored), max(map(len, stored), default=0)), dtype=np.uint8)
    for row, letters in enumerate(stored):
        x[row, : len(letters)] = np.frombuffer(letters, dtype=np.uint8)
    return x


def read_back(x: NDArray[Any]) -> list[str]:
    """Return the texts of rows that ``lettered`` made; a letter that was cut in two is left out."""
    return [row.astype(np.uint8).tobytes().rstrip(b"\0").decode(errors="ignore") for row in x]


def wordless(x: Any) -> NDArray[np.int64]:
    """Return the rows of ``counted`` or ``numbered`` in which there is nothing."""
    return np.flatnonzero(np.diff(x.indptr) == 0 if sp.issparse(x) else ~x.any(axis=1))


def _hashing(places: int) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer  # which takes its time

    return HashingVectorizer(n_features=places, norm=None, alternate_sign=True)
