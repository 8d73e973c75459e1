"""Studies as parts of the page: table, pictures, and their settings folded away."""

from __future__ import annotations

from base64 import b64encode

from markupsafe import Markup

from expunge.report.page.render import rendered
from expunge.report.read.runs import StudyRun
from expunge.report.tables import studies


def section(study: StudyRun) -> Markup:
    """Return the study's part of the page; pictures as data, so that no file becomes part of the page."""
    head, lines = studies.cells(study.summary["table"])
    pictures = [
        (path.stem, b64encode(path.read_bytes()).decode())
        for path in sorted((study.folder / "figures").glob("*.png"))
    ]
    title, facts = studies.heading(study), studies.facts(study)
    return rendered("study", title=title, head=head, lines=lines, pictures=pictures, facts=facts)
