"""Arrays that are on a device as well: each is copied there once, and known again by who it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary, ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_KEPT = 16  # arrays; the oldest goes


class Resident:
    """The last arrays that passes over rows on ``device`` were given: labels, weights, an eigenbasis.

    They must not be changed. To copy the labels of fifty million rows takes three times as long as a pass.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._known: OrderedDict[int, tuple[ref[Any], Tensor]] = OrderedDict()
        self._back: WeakValueDictionary[int, NDArray[Any]] = WeakValueDictionary()
        self._lock = Lock()

    def of(self, array: NDArray[Any]) -> Tensor:
        """The array on the device; on the processor without a copy."""
        with self._lock:
            known = self._known.get(id(array))
            if known is not None and known[0]() is array:
                self._known.move_to_end(id(array))
                return known[1]
            found = self.copied(array)
            self._known[id(array)] = ref(array), found
            for key in [key for key, (there, _) in self._known.items() if there() is None]:
                del self._known[key]
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return found

    def in_memory(self, tensor: Tensor, copied: Callable[[Tensor], NDArray[Any]]) -> NDArray[Any]:
        """The same array for the same tensor, as long as somebody has it."""
        found = self._back.get(id(tensor))
        if found is None:
            self._back[id(tensor)] = found = copied(tensor)
        return found

    def copied(self, array: NDArray[Any]) -> Tensor:
        """The same, of which nothing is kept."""
        if array.ndim == 2 and not array.flags.c_contiguous and array.T.flags.c_contiguous:
            return self.copied(array.T).T.contiguous()  # a device turns it sooner
        array = np.ascontiguousarray(array)
        if not array.flags.writeable:  # torch warns of what somebody might write to
            array = array.copy()
        return torch.from_numpy(array).to(self.device)
