"""One documented way to import torchvision.

The package registry's torchvision is built against one build of torch. Beside another (a CPU build, say)
its compiled operators cannot be loaded, and ``import torchvision`` then stops with ``operator
torchvision::nms does not exist``, although the data sets and the models used here need none of them.
"""

from __future__ import annotations

import importlib
import re
import sys
from functools import lru_cache
from types import ModuleType
from typing import Any

_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")

# As declared in torchvision's C++ sources. Importing torchvision registers shape rules for nms (and, as of
# 0.28, qnms) even where its extension is absent; roi_align is registered beside them.
_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_SCHEMAS = {
    "nms": _BOXES,
    "qnms": _BOXES,
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
}


def import_torchvision() -> ModuleType:
    """Return torchvision, declaring the operators its import asks for where its extension did not load.

    A declared operator has a signature but no code: calling it still fails, importing does not. Where
    torchvision imports as it is, or fails in any other way, nothing is declared.

    Raises:
        ImportError: As raised by the import itself.
        RuntimeError: Likewise.
    """
    for _ in _SCHEMAS:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            found = _MISSING.search(str(error))
            if found is None or found[1] not in _SCHEMAS:
                raise
            _forget_torchvision()
            _library().define(found[1] + _SCHEMAS[found[1]])
    return importlib.import_module("torchvision")


@lru_cache(maxsize=1)
def _library() -> Any:
    """The declarations' owner; the cache keeps it alive, for they vanish with it."""
    from torch.library import Library

    return Library("torchvision", "FRAGMENT")


def _forget_torchvision() -> None:
    """Drop what a failed import left behind, or a second import would go on with broken halves."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
