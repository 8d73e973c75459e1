"""What a reproduction leaves: results, page and figures; beside the runs, and in the checkout's records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.errors import RunFolderError, UserError
from expunge.core.files import write_atomically, write_json
from expunge.core.folders import writing
from expunge.record.folders.files import read_config
from expunge.report.write import write_report
from expunge.reproduce import page
from expunge.reproduce.expected import PaperRow
from expunge.reproduce.results import FILE, merged, portable, read_results
from expunge.reproduce.sweep_cells import FinishedSweep

BEGIN, END = "<!-- reproduce:begin -->", "<!-- reproduce:end -->"
_HEADING = "## Published and ours, from one command"


def write_row(row: PaperRow, sweep: FinishedSweep, folder: Path) -> list[str]:
    """Write a row's report into ``folder``, put the sweep's own pictures beside it, and choose among them.

    Returns:
        The names of the PNG files that stand for the row, in the paper's arrangement.
    """
    if not sweep.done:
        return []
    write_report([sweep.folder], out=folder)
    places = [sweep.folder / "figures"]
    if len(sweep.done) == 1:
        run = sweep.folder / sweep.done[0]["run"]
        places.append(run / "figures")
        if "study" in sweep.done[0]["summary"] and not places[-1].exists():
            from expunge.run.show import draw  # a cell of a sweep does not draw its study by itself

            draw(run, read_config(run / ".hydra" / "config.yaml"))
    own = [path for place in places for path in sorted(place.glob("*.png"))]
    for path in own:
        write_atomically(folder / path.name, path.read_bytes())
    chosen = [path for pattern in row.figures for path in sorted(folder.glob(f"{pattern}.png"))]
    return list(dict.fromkeys(path.name for path in (chosen if row.figures else own)))


def write_page(
    paper: str, rows: Mapping[str, PaperRow], new: Mapping[str, dict[str, Any]], out: Path
) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Write ``<paper>.md`` and the results it is made from into ``out``, with those of earlier commands.

    Returns:
        The page, and all results.
    """
    results, _ = merged(read_results(out), new, list(rows))
    path = out / f"{paper}.md"
    with writing(out):
        write_json(out / FILE, results)
        write_atomically(path, f"# {paper}\n\n{page.as_markdown(paper, results)}".encode())
    return path, results


def checkout_folder(paper: str) -> Path:
    """``experiments/<paper>`` of the checkout that this is run from.

    Raises:
        UserError: It is not run from one.
    """
    root = Path(__file__).parents[3]
    folder = root / "experiments" / paper
    if not (root / "pyproject.toml").is_file() or not (folder / "expected.yaml").is_file():
        raise UserError("--write: got an installed package, allowed: a checkout, whose experiments/ it fills")
    return folder


def write_records(
    paper: str, rows: Mapping[str, PaperRow], new: Mapping[str, dict[str, Any]], out: Path, folder: Path
) -> list[str]:
    """Put results and figures from ``out`` into ``folder``: RESULTS.md between the marks, all else untouched.

    Returns:
        The names of the rows whose new results were taken.
    """
    results, taken = merged(read_results(folder), {n: portable(r) for n, r in new.items()}, list(rows))
    target = folder / "RESULTS.md"
    text = target.read_text(encoding="utf-8") if target.exists() else ""
    text = replaced(text, f"{_HEADING}\n\n{page.as_markdown(paper, results)}", target)
    for name in taken:
        for figure in new[name]["figures"]:
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name / figure, (out / name / figure).read_bytes())
    write_json(folder / FILE, results)
    write_atomically(target, text.encode())
    return taken


def replaced(text: str, section: str, path: Path) -> str:
    """``text`` with ``section`` between the marks; they are put at the end of a text that has none.

    Raises:
        RunFolderError: The text has one mark without the other, or either twice.
    """
    marked = f"{BEGIN}\n{section.strip()}\n{END}"
    marks = re.findall(f"{BEGIN}|{END}", text)
    if not marks:
        return f"{text.rstrip()}\n\n{marked}\n".lstrip()
    if marks != [BEGIN, END]:
        raise RunFolderError(f"{path}: must have {BEGIN} and then {END}, each once, or neither")
    return f"{text.partition(BEGIN)[0]}{marked}{text.partition(END)[2]}"
