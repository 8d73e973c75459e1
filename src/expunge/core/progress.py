"""Progress bars."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def progress_bar(show: bool = True, **how: Any) -> Any:
    """A bar of tqdm's that goes when it is done; on a terminal only, and only if it is to be shown."""
    return tqdm(disable=None if show else True, leave=False, dynamic_ncols=True, **how)
