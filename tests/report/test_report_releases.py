"""Reports of noise at release: what is said of figures, of protected runs, and of those as published."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from expunge.core import text
from expunge.record.folders import guarantees
from expunge.report import find_runs, write_report
from expunge.report.figures.draw import draw_all
from expunge.report.figures.sweeps import draw_std, draw_tradeoff
from expunge.report.page.page import page as render
from expunge.report.tables import table
from expunge.report.tables.contents import Contents
from expunge.report.tables.table_rows import Row, ordered, rows
from tests.cli import SMALL, expunge
from tests.report.printing import printed, promises
from tests.report.test_report import make_run
from tests.report.test_report_networks import data_of

RELEASE = "release: whoever sees all of up to 1000 releases cannot tell them, beyond (1, 0.0001)"
FIGURES = "figures only: the noise is drawn from a seed; the figures are right, and protect nobody"
PUBLISHED = "as published: the decision to retrain depends on the secret perturbation; it can be told"
UPSTREAM = "the extractor was trained on the rows to be removed without differential privacy"


def of_release(folder: Path, words: str = RELEASE, requests: int = 20, covered: int = 1000, **more) -> Path:
    """Write the folder of a run with noise at release, as the runner writes it."""
    config = {"std": None, "perturbation": "release", "releases": covered, **more.pop("config", {})}
    own = {
        **{"releases": covered, "released": requests + 1, "std": 1e-5, "sensitivity": 1e-7},
        **{"noise": "lattice" if words == RELEASE else "float", "epsilon_spent": 0.0415},
        **{"guarantee": words, "not_covered": None if words == RELEASE else words},
        **{"epsilon_total": 1.0, "delta_total": 1e-4, "role": "certified"},
    }
    make_run(folder, "newton_corrected", requests, config, **{**own, **more})
    path = folder / "removals.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        budget = 1e-7 * 1e-3 * record["retained"]
        shown = None if words == RELEASE else budget / 3
        record |= {"residual_bound": budget, "budget": budget, "residual_measured": shown}
        record["epsilon_spent"] = 0.0415 * (record["request"] / max(requests, 1)) ** 0.5
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    last = records[-1] if records else dict.fromkeys(("residual_bound", "budget", "residual_measured"))
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {key: last[key] for key in ("residual_bound", "budget", "residual_measured")}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def as_published(folder: Path, **more) -> Path:
    """Write the folder of a run as published."""
    own = {"guarantee": PUBLISHED, "not_covered": PUBLISHED, "epsilon_total": None, "delta_total": None}
    return make_run(folder, "newton", 20, **{**own, **more})


@pytest.fixture
def every(tmp_path) -> Path:
    """A run of each kind, the published one the most accurate, and one of before there were others."""
    as_published(tmp_path / "all" / "0", test_accuracy_after=0.99)
    of_release(tmp_path / "all" / "1", FIGURES, test_accuracy_after=0.97)
    of_release(tmp_path / "all" / "2", config={"noise": "lattice"}, test_accuracy_after=0.96)
    make_run(tmp_path / "all" / "3", "newton", 20, {"lam": 0.5}, test_accuracy_after=0.995)
    make_run(tmp_path / "all" / "4", "retrain", 20)
    return tmp_path / "all"


def lines_of(folder: Path) -> list[Row]:
    return rows(ordered(find_runs([folder]).runs))


def cells(lines: list[Row], head: str) -> list[str]:
    column = next(c for c in table.columns(lines) if c.head == head)
    return [column.cell(row) for row in lines]


def flowing(content: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", content)).split())


def test_what_is_spent_is_said_and_not_what_is_so_by_construction(every):
    lines = lines_of(every)
    assert [guarantees.scheme(row.of) for row in lines] == [
        *("as published", "figures only", "release", "as published", ""),
    ]
    assert cells(lines, "budget used")[1:3] == [text.NONE] * 2, "the bound is the budget"
    assert cells(lines, "budget used")[0].endswith("%")
    assert cells(lines, "releases") == [text.NONE, *["21 of 1,000"] * 2, text.NONE, text.NONE]
    assert cells(lines, "ε spent")[1:3] == ["0.0415 of 1 †", "0.0415 of 1"]
    assert cells(lines, "ε spent")[0].endswith(" of 1 †")
    assert cells(lines, "ε total")[:3] == ["none", "1, 1e-4 †", "1, 1e-4"]


def test_each_guarantee_is_said_once_below_the_table(every):
    written = printed(lines_of(every))
    assert written.count("protect nobody") == written.count("it can be told") == 1
    assert re.search(rf"^Guarantee: {re.escape(RELEASE)} \(newton_corrected \(.*\)\)\.$", written, re.M)
    assert re.search(r"^† Figures only: the noise is drawn from a seed; .* nobody \(", written, re.M)
    assert re.search(
        r"^† As published: the decision to retrain .* told \(newton \(lam 1e-3\)\)\.$", written, re.M
    )
    assert "Warning" not in written


def test_what_lies_upstream_is_warned_of_besides(tmp_path):
    reason = f"{UPSTREAM}; {FIGURES}"
    of_release(tmp_path / "a", FIGURES, not_covered=reason, epsilon_total=None, delta_total=None)
    (line,) = lines = lines_of(tmp_path)
    assert cells(lines, "ε total") == ["none"]
    written = printed(lines)
    assert f"Warning: no guarantee for extractor and model together: {UPSTREAM}.\n" in written
    assert written.count("protect nobody") == 1
    assert line.not_covered == reason
    content = flowing(write_report([tmp_path]).read_text(encoding="utf-8"))
    assert f"guarantee of extractor and model together none {UPSTREAM}" in content


def test_a_total_with_something_that_it_does_not_cover_is_a_number_with_a_mark(tmp_path):
    of_release(tmp_path / "a", not_covered="the list of classes is public", epsilon_total=1.5)
    lines = lines_of(tmp_path)
    assert cells(lines, "ε total") == ["1.5, 1e-4 †"]
    assert "\n† Not covered: the list of classes is public.\n" in printed(lines)


def test_the_headline_is_of_a_run_whose_guarantee_holds(every, tmp_path):
    content = flowing(write_report([every], tmp_path / "out").read_text(encoding="utf-8"))
    head = content[: content.index("Side by side")]
    assert "all 20 requests; 21 of 1,000 releases are out" in head
    assert "ε of all releases so far 0.0415 of ε 1, δ 1e-4" in head
    assert "guarantee release holds for who sees every release" in head
    assert "of those whose guarantee holds for who sees every release: newton_corrected (" in head
    assert "budget" not in head
    (every / "2" / "summary.json").unlink()
    content = flowing(write_report([every], tmp_path / "out").read_text(encoding="utf-8"))
    head = content[: content.index("Side by side")]
    assert "guarantee figures only the noise can be known: it protects nobody" in head
    assert "of those with noise at release: newton_corrected" in head


def test_the_page_names_the_guarantee_of_each_certified_run(every):
    content = render(Contents.of(find_runs([every])))
    part = content[content.index('id="guarantees">') :].partition("<h2")[0]
    found = re.findall(r'<th scope="row"', part)
    assert len(found) == 4
    words = flowing(part)
    for said in (RELEASE, FIGURES, PUBLISHED):
        assert text.capital(said) in words
    assert "release 1,000 21 0.0415 1 1e-4 1e-5 1e-7" in words
    assert "by a version without noise at release" in words


@pytest.mark.parametrize(
    ("write", "said", "other"),
    [
        (of_release, "The difference between two releases", "Figures only"),
        (lambda folder: of_release(folder, FIGURES), "Figures only", "One model only"),
        (as_published, "Two things do not hold as stated", "The difference between two releases"),
        (lambda folder: make_run(folder, "newton"), "One model only", "state.safetensors"),
    ],
)
def test_promises_are_those_of_the_scheme(tmp_path, write, said, other):
    write(tmp_path / "a")
    (promise,) = promises(tmp_path)
    assert said in promise
    assert other not in promise
    assert "docs/certificate.md" in promise
    assert "must not depend on the removed rows" in " ".join(promise.split())
    assert "(only" not in promise
    assert "{" not in promise


def test_promises_name_the_runs_of_each_scheme(every):
    (promise,) = promises(every)
    words = flowing(promise)
    assert "With noise at release (only newton_corrected" in words
    assert "As published (only newton" in words
    assert "Figures only (only newton_corrected" in words


def test_a_class_list_that_is_public_is_said_of_methods_without_a_certificate(tmp_path):
    said = "the unlearner gives no certificate; the list of classes is public: it <shows>"
    make_run(tmp_path / "a", "none", 20, role="heuristic", not_covered=said)
    (promise,) = promises(tmp_path)
    assert "The list of classes is public: it &lt;shows&gt;." in promise
    assert "gives no certificate" not in promise


def test_the_budget_of_a_release_falls_and_nothing_protected_is_drawn(tmp_path):
    of_release(tmp_path / "0", FIGURES, 30)
    residual = {d.name: d for d in draw_all(find_runs([tmp_path]).runs)}["residual"]
    assert "falls with them" in residual.caption
    assert "as published" not in residual.caption
    assert re.search(">budget [^:<>]+: what the noise covers<", residual.svg)
    assert ">measured<" in residual.svg
    assert ">bound by the certificate<" not in residual.svg
    of_release(tmp_path / "1", requests=30)
    residual = {d.name: d for d in draw_all([find_runs([tmp_path / "1"]).runs[0]])}["residual"]
    assert ">measured<" not in residual.svg
    assert "a protected run shows nothing that was measured" in residual.caption
    as_published(tmp_path / "2")
    residual = {d.name: d for d in draw_all(find_runs([tmp_path]).runs)}["residual"]
    assert ">bound by the certificate<" in residual.svg
    assert "as published counts as certified while" in residual.caption


def swept(folder: Path, published: bool = True) -> Path:
    """Write runs over the residual that noise covers, for two numbers of releases; and some as published."""
    for covered in (1, 1000):
        for place, std in enumerate((1e-5, 1e-3, 0.1)):
            own = {
                "std": std * covered**0.5,
                "sensitivity": std / 100,
                "test_accuracy_after": 0.97 - 0.1 * std,
            }
            at = folder / f"{covered}-{place}"
            of_release(at, FIGURES, 0, covered, config={"residual": std / 10}, **own)
    for place, std in enumerate((0.1, 1.0, 10.0) if published else ()):
        for releases in (1, 1000):  # of which it knows nothing
            as_published(folder / f"p{place}-{releases}", seed=0, test_accuracy_after=0.96 - 0.02 * place)
            path = folder / f"p{place}-{releases}" / ".hydra" / "config.yaml"
            config = json.loads(path.read_text())
            config["unlearner"] |= {"std": std, "releases": releases}
            path.write_text(json.dumps(config))
    return folder


def test_accuracy_against_std_has_a_line_a_number_of_releases(tmp_path):
    drawn = draw_std(find_runs([swept(tmp_path / "a")]).runs)
    assert drawn is not None
    rows = data_of(drawn)
    lines = {(row["method"], row["stroke"]) for row in rows}
    noisy, published = "newton_corrected", "newton"
    assert lines == {(noisy, "releases 1"), (noisy, "releases 1000"), (published, text.NONE)}
    assert len(rows) == 3 * 3 + 2 * 3  # against std, and of those with noise against the distance too
    for words in ("releases 1", "releases 1000", "distance to exact retraining (log scale)"):
        assert f">{words}<" in drawn.svg
    assert "These are not the same thing" in drawn.caption
    names = [d.name for d in draw_all(find_runs([tmp_path / "a"]).runs)]
    assert names.count("std") == 1


def test_a_sweep_whose_budgets_never_end_is_drawn_without_curves_of_them(tmp_path):
    for place, std in enumerate((1e-3, 1e-2, 0.1)):
        of_release(tmp_path / str(place), FIGURES, config={"std": std}, std=std)
    runs = find_runs([tmp_path]).runs
    assert draw_tradeoff(runs) is None
    drawn = draw_std(runs)
    assert drawn is not None
    assert "distance" not in drawn.svg
    assert "noise in each weight" in drawn.caption


def test_words_from_files_are_escaped(tmp_path):
    evil = "release: <script>x</script>\x1b[31m"
    of_release(tmp_path / "a", evil, not_covered=f"<b>x</b>; {evil}", epsilon_total=1.0)
    content = write_report([tmp_path]).read_text(encoding="utf-8")
    assert "<script>x" not in content
    assert "<b>x" not in content
    assert "\x1b" not in content + printed(lines_of(tmp_path))


@pytest.mark.parametrize("own", [{"releases": "many"}, {"released": None}, {"std": None}])
def test_a_summary_that_does_not_say_all_still_has_a_report(tmp_path, own):
    of_release(tmp_path / "a", FIGURES, **own)
    assert "Guarantees" in write_report([tmp_path]).read_text(encoding="utf-8")


def test_a_real_run_tells_what_is_out_and_what_hides_it(tmp_path):
    ended = expunge(
        *SMALL,
        *("figures=true", "unlearner=newton_corrected", "unlearner.noise=lattice", "removal.count=3"),
        cwd=tmp_path,
    )
    assert ended.code == 0, ended.err
    assert "4 of 1,000" in ended.out
    assert "\nGuarantee: release: whoever sees all" in ended.out
    (line,) = lines_of(tmp_path / "outputs")
    assert (line.released, line.releases, line.residual_measured) == (4, 1000, None)
    assert 0 < line.sensitivity < line.std
    assert guarantees.scheme(line.of) == "release"
