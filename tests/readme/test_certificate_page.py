"""The page on what a release promises: its numbers follow from its formulas, rounded to the safe side."""

from __future__ import annotations

import re

import pytest

from expunge.certificate.guarantee import gaussian_profile
from tests.readme.pages import ROOT, python_blocks

PAGE = ROOT / "docs" / "certificate.md"


@pytest.fixture(scope="module")
def found():
    """What the code of the page computes."""
    names: dict = {}
    (code,) = python_blocks(PAGE)
    exec(compile(code, PAGE.name, "exec"), names)
    return names


@pytest.fixture(scope="module")
def rows():
    """The numbers of the table of the worked example, by releases."""
    cells = [
        line.strip("|").split("|")
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| [\d,]+ \|", line)
    ]
    numbers = [[float(cell.replace(",", "")) for cell in row] for row in cells]
    return {int(row[0]): row[1:] for row in numbers}


def below(shown, exact):
    return exact * (1 - 1e-3) < shown <= exact


def above(shown, exact):
    return exact * (1 - 1e-9) <= shown < exact * 1.01


def test_the_table_is_that_of_the_formulas(found, rows):
    assert list(rows) == list(found["table"]) == [1, 1_000, 11_981]
    for releases, (by_float, by_lattice, *noises, spent) in rows.items():
        *ratios, s_float, s_lattice, first = found["table"][releases]
        assert below(by_float, ratios[0])
        assert below(by_lattice, ratios[1])
        assert above(noises[0], s_float)
        assert above(noises[1], s_lattice)
        assert above(spent, first)


def test_the_text_is_that_of_the_formulas(found):
    text = " ".join(PAGE.read_text().split())
    assert below(float(re.search(r"mu = ([\d.]+) \(`float`\)", text)[1]), found["mu"])
    assert below(float(re.search(r"rho = ([\d.]+) \(`lattice`\)", text)[1]), found["rho"])
    told = re.search(
        r"is ([\d.]+) after 100 releases, ([\d.]+) after 1,000, ([\d.]+) after 5,000, 1 at", text
    )
    for number, (_, exact) in zip(told.groups(), sorted(found["spent"].items()), strict=True):
        assert above(float(number), exact)
    told = re.search(r"it is ([\de.-]+) at 11,982 rows and ([\de.-]+) at the last two", text)
    assert [float(number) for number in told.groups()] == pytest.approx(
        list(found["budgets"].values()), rel=0.01
    )


def test_the_formulas_are_those_of_the_program(found):
    """``float`` is the profile of the Gaussian mechanism; ``lattice`` promises less, not much less."""
    for epsilon in (0.1, 1.0, 4.0):
        assert found["float_delta"](0.5, epsilon) == pytest.approx(gaussian_profile(epsilon, 0.5), rel=1e-9)
        exact = gaussian_profile(epsilon, 0.5)  # a Gaussian pair 0.5 apart is 0.5^2 / 2 zCDP
        assert exact < found["lattice_delta"](0.5**2 / 2, epsilon) < 10 * exact


def test_the_page_is_in_the_source_distribution():
    assert '"/docs"' in (ROOT / "pyproject.toml").read_text()
