"""A constant beside the features of each row: the intercept, as one more weight.

``x`` becomes ``[x, c] / sqrt(||x||^2 + c^2)``. Its norm is 1 and depends on that row alone, and c is public:
whatever is certified for rows of norm at most 1 is certified for these. The constant's weight is regularised
like the others, and noise is added to it as to them.
"""

from __future__ import annotations

from math import hypot
from typing import Any

import numpy as np
import scipy.sparse as sp

from expunge.core.checks import LARGEST_SINGLE, require_positive, require_switch
from expunge.linear.sparse_rows import canonical

SCALING = 1.0
"""c, where nothing is said of it."""
_NARROW = (np.uint8, np.float16, np.float32)


def checked(intercept: Any, scaling: Any, names: tuple[str, str]) -> float:
    """Return c, 0 without an intercept; it is a number that float32 has.

    Raises:
        InvalidValue: One of the two settings, which messages call ``names``, is not allowed.
    """
    found = require_positive(names[1], scaling, most=LARGEST_SINGLE)
    return float(np.float32(found)) if require_switch(names[0], intercept) else 0.0


def beside(raw: Any, constant: float, offset: float = 0.0) -> Any:
    """Return ``[raw, constant + offset]``, from all of which ``offset`` is still to be subtracted.

    It is a copy, in float32 of uint8, float16 and float32 (of sparse rows of float32 alone), else in float64;
    with constant 0 it is ``raw`` itself. What float32 has in place of c is the same in every row.

    Args:
        raw: (n, d) numbers, an array or a sparse matrix, which stays one (CSR).
        constant: c > 0, or 0 for none.
        offset: What is subtracted from every entry later.
    """
    if not constant:
        return raw
    if sp.issparse(raw):
        return _beside_sparse(raw, constant + offset)
    kind = np.float32 if raw.dtype.type in _NARROW else np.float64
    found = np.empty((len(raw), raw.shape[1] + 1), dtype=kind)
    found[:, :-1], found[:, -1] = raw, constant + offset
    return found


def _beside_sparse(raw: Any, last: float) -> Any:
    """The same of a sparse matrix: an entry more at the end of each row."""
    raw = canonical(raw)
    n, d = raw.shape
    ends, data, columns = raw.indptr[1:], raw.data[: raw.nnz], raw.indices[: raw.nnz]
    starts = raw.indptr.astype(np.int64) + np.arange(n + 1)
    return sp.csr_array((np.insert(data, ends, last), np.insert(columns, ends, d), starts), shape=(n, d + 1))


def beside_unit(raw: Any, constant: float) -> Any:
    """Return ``[x, c] / sqrt(1 + c^2)`` of rows x with norms of at most 1, which stay so; in float64."""
    return beside(raw.astype(np.float64), constant) / hypot(1.0, constant) if constant else raw
