"""What runs leave, as objects: the folder of each, read when it is asked for."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.errors import InvalidValue, RunFolderError, UserError

if TYPE_CHECKING:
    import pandas as pd

    from expunge.core.files import State
    from expunge.frames import Runs
    from expunge.record.folders.differences import Differences
    from expunge.verify.verdict import Verdict

_MODEL = "model.safetensors"
_SHOWN = ("test_accuracy_before", "test_accuracy_after", "removed", "retrained", "refused")


class Pictures(tuple[Path, ...]):
    """Figures of a run, as paths of PNG files; a notebook shows them."""

    def _repr_html_(self) -> str:
        coded = ((path, base64.b64encode(path.read_bytes()).decode()) for path in self)
        return "".join(
            f'<img alt="{html.escape(path.stem)}" style="max-width: 100%" src="data:image/png;base64,{png}">'
            for path, png in coded
        )


@dataclass(frozen=True)
class Result:
    """A finished run or study.

    Attributes:
        folder: The run folder, absolute; all else is read from it.
    """

    folder: Path

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> Result:
        """The result of a finished run.

        Raises:
            RunFolderError: It is no folder of one.
        """
        result = cls(Path(folder).absolute())
        _ = result.summary
        return result

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json``."""
        from expunge.record.folders.files import parse_object, read_text

        path = self.folder / "summary.json"
        if not path.is_file():
            raise RunFolderError(f"{self.folder}: has no summary.json, allowed: the folder of a finished run")
        return parse_object(read_text(path), path)

    @cached_property
    def frame(self) -> Runs:
        """The run as a data frame of one row: what ``expunge.load`` gives for its folder."""
        from expunge.frames import load

        return load(self.folder)

    @property
    def removals(self) -> pd.DataFrame:
        """A row a request, with the columns of ``removals.jsonl``; none of a study."""
        return self.frame.removals

    @cached_property
    def model(self) -> State:
        """The model that left last, ``model.safetensors``: ``arrays`` by name, and ``values``.

        Of a method with noise at release it is the release, which may be given away.

        Raises:
            RunFolderError: A study has none.
        """
        from expunge.core.files import load_state

        if not (self.folder / _MODEL).is_file():
            raise RunFolderError(f"{self.folder}: has no {_MODEL}, allowed: a run's folder, not a study's")
        return load_state(self.folder / _MODEL)

    def plot(self, figure: str | None = None) -> Pictures:
        """The figures of the run, or the one of this name; drawn into its folder where they are not yet.

        Raises:
            InvalidValue: The run has no figure of this name.
        """
        from expunge.record.folders.files import read_config
        from expunge.run.show import FIGURES, draw

        if not (self.folder / FIGURES).exists():
            draw(self.folder, read_config(self.folder / ".hydra" / "config.yaml"))
        drawn = {path.stem: path for path in sorted((self.folder / FIGURES).glob("*.png"))}
        if figure is None:
            return Pictures(drawn.values())
        if figure not in drawn:
            raise InvalidValue("figure", figure, f"one of {', '.join(drawn) or 'none: it has no figures'}")
        return Pictures([drawn[figure]])

    def verify(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> Verdict:
        """Check every claim of the run by other code, as ``expunge-verify`` does; nothing is written.

        Args:
            data_dir: Where the data lie here, if not where the configuration or the environment says.
            cache_dir: The same of trained extractors and features.

        Returns:
            Its ``accepted`` says whether all holds, ``lines`` what was checked.
        """
        from expunge.verify.verdict import verify

        data, cache = (None if one is None else Path(one) for one in (data_dir, cache_dir))
        return verify(self.folder, None, data, cache)

    def diff(self, other: Result | str | os.PathLike[str]) -> Differences:
        """In what another run, or the run of another folder, differs; ``print`` shows it.

        Raises:
            RunFolderError: The other is no finished run.
        """
        from expunge.record.folders.differences import Differences

        return Differences.of(self.folder, other.folder if isinstance(other, Result) else Path(other))

    def __repr__(self) -> str:
        """The method, its numbers and the folder, on one line."""
        told = [f"{key}={self.summary[key]:.4g}" for key in _SHOWN if _is_number(self.summary.get(key))]
        named = self.summary.get("unlearner", self.summary.get("study"))
        return f"<Result {' '.join([str(named), *told])} in {str(self.folder)!r}>"

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False))


class Sweep(Sequence[Result]):
    """The finished runs of a sweep, in its order.

    Attributes:
        folder: The sweep's folder, absolute.
        failed: What is asked for in each cell that is not done -> why.
    """

    def __init__(self, folder: Path) -> None:
        from expunge.sweep.jobs import read

        self.folder = folder
        jobs = read(folder)
        done = [job.run for job in jobs if job.status == "done" and job.run is not None]
        self._results = [Result(folder / run) for run in done]
        left = [job for job in jobs if job.status != "done"]
        self.failed = {
            " ".join(job.overrides) or f"cell {job.number + 1}": job.error or "did not finish" for job in left
        }

    @cached_property
    def frame(self) -> Runs:
        """A row a run, as ``expunge.load`` gives for the folder; also of earlier commands in it."""
        from expunge.frames import load

        return load(self.folder)

    @property
    def removals(self) -> pd.DataFrame:
        """A row a request of each run; ``run`` is its name in ``frame``."""
        return self.frame.removals

    def __len__(self) -> int:
        """Number of finished runs."""
        return len(self._results)

    def __getitem__(self, place: Any) -> Any:
        """A run, or a list of several."""
        return self._results[place]

    def __iter__(self) -> Iterator[Result]:
        """Every run."""
        return iter(self._results)

    def __repr__(self) -> str:
        """How many runs, and where, on one line."""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Sweep {len(self)} run{'s' * (len(self) != 1)}{failed} in {str(self.folder)!r}>"

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False))


class CellsFailed(UserError):
    """Cells of a sweep are not done; the others are.

    Attributes:
        sweep: What there is; the same call again does what is missing.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        (cell, why), *others = sweep.failed.items()
        more = f" (and {len(others)} more in .sweep.failed)" if others else ""
        super().__init__(f"{cell}: {why}{more}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
