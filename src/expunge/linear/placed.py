"""Where the rows that a linear model is trained on are: in memory, or on a device of torch.

Results differ in their last bits from one kind of device to another, and are within the same bounds.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from expunge.core.checks import require_choice
from expunge.core.errors import InvalidValue
from expunge.core.memory import in_words
from expunge.linear.operations import RowOperations
from expunge.linear.rows import Rows
from expunge.linear.rows_away import RowsAway

log = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "cuda")
_WORTH_IT = 2**27  # numbers of a table from which ``auto`` takes a GPU: a pass in memory takes some 50 ms
_OF_A_ROW = 5 * 8  # bytes besides its numbers: norms before and after a request, labels, scores, slopes
_AT_WORK = 2**30  # bytes that passes take for themselves


def placed(rows: RowOperations, device: str) -> RowOperations:
    """Return these rows where ``device`` says: the one place that decides where a linear model's rows are.

    Args:
        rows: As they were read.
        device: ``cpu``: as they are, in memory or on disk, with compiled passes. ``cuda``: dense rows on the
            GPU. ``auto``: there where torch finds one, the table has 2^27 numbers or more, and it fits.

    Raises:
        InvalidValue: ``device``: with ``cuda`` there is no GPU, the rows are sparse, or they do not fit.
    """
    require_choice("device", device, DEVICES)
    if device == "cpu" or isinstance(rows, RowsAway):
        return rows
    if not isinstance(rows, Rows):
        if device == "cuda":
            raise InvalidValue(
                "device", device, "auto or cpu with sparse rows: passes on a GPU are for dense ones"
            )
        return rows
    if device == "auto" and len(rows) * rows.dim < _WORTH_IT:
        return rows  # nor is torch loaded
    return _on_gpu(rows, device)


def needed(count: int, dim: int, width: int) -> int:
    """Bytes on the device for rows of ``dim`` numbers of ``width`` bytes each."""
    return count * (dim * width + _OF_A_ROW) + _AT_WORK


def _on_gpu(rows: Rows, device: str) -> RowOperations:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the same call, the same bits
    import torch

    if not torch.cuda.is_available():
        if device == "auto":
            return rows
        raise InvalidValue("device", device, "auto or cpu: torch finds no GPU here")
    need, free = needed(len(rows), rows.dim, rows.raw.itemsize), torch.cuda.mem_get_info()[0]
    if need > free:
        if device == "auto":
            return rows
        said = (
            f"{len(rows)} rows of {rows.dim} take {in_words(need)}, and {in_words(free)} is free on the GPU"
        )
        raise InvalidValue("device", device, f"auto or cpu: {said}")
    from expunge.linear.device_rows import DeviceRows

    log.info("rows of the linear model: %s on the GPU", in_words(rows.raw.nbytes))
    return DeviceRows.of(rows, torch.device("cuda"))


def place_of(rows: Any) -> str | None:
    """The kind of device that rows are on; None for memory."""
    device = getattr(rows, "device", None) if isinstance(rows, RowOperations) else None
    return None if device is None else str(device.type)
