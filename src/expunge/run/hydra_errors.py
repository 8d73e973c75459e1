"""Hydra's and OmegaConf's exceptions, folded into the one line that tells a user what to mend."""

from __future__ import annotations

import re

from hydra.errors import MissingConfigException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from expunge.core.errors import UserError, one_line


def explained(error: BaseException) -> str:
    """Say on one line which key or group is wrong, and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if error.options:
            return f"{group}: got {choice!r}, allowed: one of {', '.join(error.options)}"
        return f"{error.missing_cfg_file}: no such configuration file (see --help for the groups)"
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: not given; this choice needs a value for it"
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.parent_node is not None:
        named = re.search(r"'([^']+)'", str(error))
        keys = ", ".join(str(key) for key in cause.parent_node)
        return f"{named.group(1) if named else cause.full_key}: no such key, allowed: {keys}"
    if cause is None or str(cause) in str(error) or isinstance(error, UserError):
        return one_line(error)
    return one_line(f"{error} ({cause})")
