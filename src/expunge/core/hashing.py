"""One name for equal settings: a hash of JSON in canonical form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def key_of(ingredients: Mapping[str, Any]) -> str:
    """SHA-256 of ``ingredients`` (JSON values) in canonical form: no spaces, keys in order."""
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
