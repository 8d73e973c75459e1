"""Objects that several threads share: one at a time changes them."""

from __future__ import annotations

import copy
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

Call = TypeVar("Call", bound=Callable[..., Any])


def alone(method: Call) -> Call:
    """Let the method hold the ``lock`` of its object: other threads wait, its own may call on."""

    @functools.wraps(method)
    def held(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return held  # type: ignore[return-value]


class Shared:
    """An object with a ``lock`` of its own, which goes into no copy and no pickle.

    It is there before ``__init__`` runs, and lies in a slot: what the object holds is in ``vars`` alone.
    """

    __slots__ = ("lock",)
    lock: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the object and its lock."""
        made = super().__new__(cls)
        made.lock = threading.RLock()
        _ALL[id(made)] = made
        return made

    def __getstate__(self) -> dict[str, Any]:
        """What the object holds, between two changes: for pickles."""
        with self.lock:
            return dict(vars(self))

    def __copy__(self) -> Any:
        """Another object that holds the same: what a pickle leaves out is for those who write files."""
        made = type(self).__new__(type(self))
        with self.lock:
            made.__dict__ = dict(vars(self))
        return made


class OneOfAll(Shared):
    """A ``lock`` for what the whole process has one of."""


_ALL: WeakValueDictionary[int, Shared] = WeakValueDictionary()


def _forked() -> None:
    """Free the locks in a child: the threads that held them are not in it, and would never let them go."""
    for shared in list(_ALL.values()):
        shared.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@contextmanager
def whole(*objects: Any) -> Iterator[None]:
    """Let these objects hold what they held before, should anything end what is done within but its own end.

    What they hold is put back, not what is within that: it is to be replaced, and not changed.
    """
    before = [dict(vars(one)) for one in objects]
    try:
        yield
    except GeneratorExit:  # interrupted when all was done, and let go of only now: more may have come since
        raise
    except BaseException:  # one from the keyboard too
        for one, held in zip(objects, before, strict=True):
            one.__dict__ = held  # in one, for those who read meanwhile
        raise


def deep_copy(original: Any, memo: dict[int, Any]) -> Any:
    """Copy an object and all that it holds while no other thread changes it: a ``__deepcopy__``."""
    with original.lock:
        made = memo[id(original)] = copy.copy(original)
        vars(made).update(copy.deepcopy(dict(vars(original)), memo))
        return made
