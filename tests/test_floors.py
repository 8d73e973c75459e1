"""Which way things depend: every import of the package, lazy ones and those for types included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import expunge

SOURCE = Path(expunge.__file__).parent
DOORS = 11
FLOORS = {
    **{"core": 1, "codec": 1},
    **{"certificate": 2, "curvature": 2, "datasets": 2, "charts": 2, "ranks": 2, "evaluations": 2},
    **{"linear": 3, "models": 3, "training": 4, "predictors": 5, "extractors": 5},
    **{"scrub": 6, "unlearners": 6, "metrics": 6, "record": 7, "tracking": 7, "studies": 8, "report": 8},
    **{"run": 9, "sweep": 10, "reproduce": 10, "verify": 10, "audit": 10, "forgotten": 10},
}
# Of one floor, and still one above the other: codec checks its arguments, an unlearner runs a scrub, a metric
# looks at an unlearner.
ABOVE = {("codec", "core"), ("unlearners", "scrub"), ("metrics", "unlearners")}
CONFIGURED = {
    "run",
    "sweep",
    "audit",
    "app",
    "help",
    "help_keys",
    "python",
}  # what knows Hydra; the report reads a run's configuration

FILES = {
    ".".join(("expunge", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, path
            names = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {full if full in FILES else str(node.module) for full in names.values()}
    return found


IMPORTS = {module: imported(path) for module, path in FILES.items()}
EDGES = {
    (module, other)
    for module, others in IMPORTS.items()
    for other in others
    if other in FILES and other not in ("expunge", module)  # the package itself holds its version
}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_a_room_imports_from_floors_below_it():
    for module, other in sorted(EDGES):
        upper, lower = room(module), room(other)
        higher = FLOORS.get(upper, DOORS) > FLOORS.get(lower, DOORS)
        doors = upper not in FLOORS and lower not in FLOORS
        assert higher or doors or upper == lower or (upper, lower) in ABOVE, f"{module} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    below = {m: {b for a, b in EDGES if a == m and not being_replaced(m, b)} for m in FILES}
    TopologicalSorter(below).prepare()  # raises CycleError, which names the circle


def being_replaced(*modules: str) -> bool:
    """Issue 16, section 2, puts an end to the twins of these unlearners, and with them to their circle."""
    return {*modules} <= {f"expunge.unlearners.{name}" for name in ("none", "references", "retrain")}


@pytest.mark.parametrize("below", ["unlearners", "metrics", "models"])
def test_a_report_is_made_from_run_folders_alone(below):
    assert not [edge for edge in EDGES if room(edge[0]) == "report" and room(edge[1]) == below]


@pytest.mark.parametrize("library", ["hydra", "omegaconf", "wandb"])
def test_who_knows_a_library(library):
    knows = {m for m, names in IMPORTS.items() if any(name.split(".")[0] == library for name in names)}
    allowed = {"expunge.tracking.wandb"} if library == "wandb" else {"expunge.record.folders.files"}
    assert {m for m in knows - allowed if library == "wandb" or room(m) not in CONFIGURED} == set()
