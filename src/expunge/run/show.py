"""What is shown of a run: where it goes and what it is, and when it is complete its figures and its table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import say
from expunge.core.folders import whole
from expunge.core.screen import Page, command
from expunge.run.config_files import quoted

FIGURES = "figures"
"""Folder of the figures in a run folder; it is there when all of them are."""
_PLAIN = r"[\w./-]+"  # what is a value in Hydra's grammar as it is
_PARTS = ("dataset", "extractor", "model", "unlearner", "removal")
_TELLING = ("selector", "mode", "curvature", "lam", "epsilon", "delta", "perturbation", "releases", "count")
_COMMON = ("seed", "device", "threads")


def is_study(settings: Mapping[Any, Any]) -> bool:
    """Whether the configuration is that of a study, which fits and removes nothing."""
    return settings.get("study") is not None


def announce(
    folder: Path, settings: Mapping[str, Any], choices: Mapping[str, str], overrides: Sequence[str]
) -> None:
    """Say where a run goes, and the settings that matter most, before it begins.

    Args:
        folder: The run folder.
        settings: The configuration, with what is from the environment as it is written.
        choices: Group -> the choice.
        overrides: What the command line gives.
    """
    page = Page()
    page.whole(f"Run folder: {page.near(folder)}", "bold")
    if is_study(settings):
        parts = [f"study {str(settings['study'].get('_target_', '')).rpartition('.')[2]}"]
    else:
        parts = [_part(key, choices.get(key, ""), settings.get(key), _TELLING) for key in _PARTS]
    common = [f"{key} {settings[key]}" for key in _COMMON if settings.get(key) is not None]
    page.text(", ".join([*parts, *common]), "dim")
    own = [one for one in overrides if one.lstrip("+~").partition("=")[0] not in (*choices, *_COMMON)]
    if own:
        page.text(f"with {' '.join(own)}", "dim")
    say(f"{page}", styled=True)


def _part(name: str, choice: str, settings: Any, keys: Sequence[str]) -> str:
    """A part of a run, and those of its settings that tell one such run from another."""
    plain = settings if isinstance(settings, Mapping) else {}
    said = ", ".join(f"{key} {plain[key]}" for key in keys if isinstance(plain.get(key), (str, int, float)))
    return f"{name} {choice} ({said})" if said else f"{name} {choice}"


def show(folder: Path, settings: dict[str, Any], swept: bool) -> None:
    """Draw the figures of a complete run that it is to have, and print its table, and what comes next.

    A cell of a sweep is in the sweep's table, and has figures only where those of all are asked for.
    """
    drawn(folder, settings, swept)
    if not swept:
        page = Page()
        page.gap()
        _print(folder, page)
        page.gap()
        _end(page, folder, command("expunge-report", page.near(folder)))


def drawn(folder: Path, settings: dict[str, Any], swept: bool) -> Path | None:
    """Return the folder of a complete run's figures, drawn where they are not; None if it is to have none."""
    if not (settings["figures"] == "all" or (settings["figures"] and not swept)):
        return None
    if not (folder / FIGURES).exists():
        draw(folder, settings)
    return folder / FIGURES


def show_next(folder: Path, arguments: Sequence[str]) -> None:
    """Print what goes on with a run that was broken off, whole: ``arguments`` are those that it had."""
    page = Page()
    where = page.near(folder)
    value = where if re.fullmatch(_PLAIN, where) else quoted(where)
    _end(page, folder, command("expunge", *arguments, "resume=true", f"hydra.run.dir={value}"))


def _end(page: Page, folder: Path, following: str) -> None:
    """Say where a run is, and which command comes next: two lines to be copied, however long they are."""
    page.whole(f"Run folder: {page.near(folder)}", "bold")
    page.whole(f"Next: {following}")
    say(f"{page}", styled=True)


def draw(folder: Path, settings: dict[str, Any]) -> None:
    """Draw the figures of a complete run or study."""
    with whole(folder / FIGURES) as drawn:
        if is_study(settings):
            from expunge.run.build import build_study
            from expunge.studies.run import draw_study

            draw_study(build_study(settings)[0], folder, drawn)
        else:
            from expunge.report import read_run
            from expunge.report.figures.draw import write_run_figures

            write_run_figures(read_run(folder), drawn)


def _print(folder: Path, page: Page) -> None:
    from expunge.record.folders.runs import FoundRuns
    from expunge.report.tables import terminal
    from expunge.report.tables.contents import Contents

    terminal.of_contents(Contents.of(FoundRuns.of([(folder, folder.resolve().name)])), page)
