"""What an extractor is."""

from __future__ import annotations

from typing import Any, Protocol

from expunge.certificate.composition import Upstream
from expunge.datasets import Dataset


class Extractor(Protocol):
    """Turns the stored arrays of a data set into inputs of the model: rows, or images for a network."""

    name: str

    def extract(self, dataset: Dataset) -> tuple[Any, Any]:
        """Return the training and the test inputs, row for row those of ``dataset``."""

    def upstream(self) -> Upstream:
        """What the features have cost the training rows; asked for after ``extract``."""

    def facts(self) -> dict[str, Any]:
        """Numbers and words for the summary, named ``extractor_...``; asked for after ``extract``."""
