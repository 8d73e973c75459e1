"""A run in small before the run: what a process does for the first time takes longer than the next time."""

from __future__ import annotations

import copy
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import one_line
from expunge.predictors import Predictor

log = logging.getLogger(__name__)

_SEVERAL = 3  # rows of a request


def rehearse(method: Any, x: Any, y: NDArray[np.int64]) -> None:
    """Let a copy of a ``Method`` train on a few rows, and remove one of them, and several.

    Libraries are then loaded, kernels compiled, threads started and networks traced, in no time of training
    or removal that is looked at afterwards. The method, its model and all random numbers stay as they are,
    and what the copy has to say is not heard: if it concerns these data, it will be said of them.
    """
    with _unheard(), _same_random_numbers():
        try:
            if (small := method.predictor.small(x, y)) is not None:
                _serve(method, *small)
        except Exception as error:  # whatever is wrong with few rows need not be with all of them
            failed = one_line(error)
        else:
            return
    # What is wrong with the settings themselves will be said where they are used: nothing is said twice.
    log.debug("the first times may be longer than the next ones: a run in small failed (%s)", failed)


def _serve(method: Any, model: Predictor, x: Any, y: NDArray[np.int64]) -> None:
    own: Any = copy.deepcopy(method, {id(method.predictor): model})  # on the small model in place of its own
    own.shorten()
    own.fit(x, y, 0)
    if hasattr(own, "validate_on"):
        own.validate_on(x, y)
    own.remove([0])
    own.remove(list(range(1, 1 + _SEVERAL)))


@contextmanager
def _unheard() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _same_random_numbers() -> AbstractContextManager[None]:
    """Put torch's global random numbers back afterwards; it is not loaded for that."""
    torch = sys.modules.get("torch")
    if torch is None:
        return nullcontext()
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    forked: AbstractContextManager[None] = torch.random.fork_rng(devices=list(gpus))
    return forked
