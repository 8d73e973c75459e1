"""An experiment of the papers whose parts are not built yet: it composes, and says what it waits for."""

from __future__ import annotations

from expunge.core.errors import InvalidValue, UserError


class Planned:
    """Stands where a study will: it cannot be constructed, so that nothing is run and nothing is left.

    Args:
        needs: What is missing, in words.

    Raises:
        UserError: Always; one line that begins with ``not yet``.
    """

    def __init__(self, needs: str) -> None:
        if not isinstance(needs, str) or not needs:
            raise InvalidValue("needs", needs, "what is missing, in words")
        raise UserError(f"not yet: this experiment needs {needs}")
