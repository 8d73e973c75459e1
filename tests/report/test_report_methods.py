"""Tables by method in page, Markdown, CSV, LaTeX: five methods of five seeds, unfinished runs, odd cases."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from itertools import dropwhile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core import latex
from expunge.core.spreadsheets import as_csv
from expunge.core.text import plain
from expunge.report import find_runs
from expunge.report.page.page import page as render
from expunge.report.read.methods import methods
from expunge.report.tables import table, tex
from expunge.report.tables.contents import Contents
from tests.report.test_report import make_run

METHODS = {
    "newton": ("newton", {"lam": 1e-3}, 0.953),
    "newton, strong": ("newton", {"lam": 0.1}, 0.940),
    "corrected": ("newton_corrected", {"lam": 1e-3}, 0.955),
    "retrain": ("retrain", {"lam": 1e-3}, 0.955),
    "none": ("none", {"lam": 1e-3}, 0.954),
}
EVIL = "a_1 50% & #2 $x$ {b} ~ ^ \\ </script>{{ 7 * 7 }}{% raw %} ε → † 日 é"


def by_methods(folder: Path, seeds: int = 5, requests: int = 8) -> Path:
    """Write every method under every seed."""
    for name, (unlearner, config, accuracy) in METHODS.items():
        for seed in range(seeds):
            more = {"seed": seed, "test_accuracy_after": accuracy + seed / 1000}
            make_run(folder / f"{name}-{seed}", unlearner, requests, config, **more)
    return folder


def cut_off(folder: Path, records: int, asked: int | None = 1000) -> Path:
    """Take a run back to where it was after some records and half a line."""
    (folder / "summary.json").unlink()
    ledger = folder / "removals.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:records]) + lines[records][:30])
    if asked is not None:
        (folder / "inputs.json").write_text(json.dumps({"digests": {}, "requests": {"count": asked}}))
    return folder


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> Contents:
    return Contents.of(find_runs([by_methods(tmp_path_factory.mktemp("base") / "sweep")]))


def body_rows(page: str) -> list[list[str]]:
    """Return the words of every row of the table by method, runs and all."""
    part = page[page.index('aria-label="Table by method"') :].partition("</table>")[0]
    rows = re.findall(r"<tr[ >].*?</tr>", part.partition("</thead>")[2], re.DOTALL)
    words = [re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL) for row in rows]
    return [[" ".join(unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in row] for row in words]


def test_every_method_has_a_row_with_its_runs_folded_in(contents):
    page = render(contents)
    rows = body_rows(page)
    assert len(rows) == 5 + 25
    own = [row for row in rows if row[0].endswith("5 seeds")]
    assert [row[0] for row in own] == [f"{group.label} 5 seeds" for group in contents.groups]
    assert [row[0].split()[:2] for row in rows[1:6]] == [["seed", str(seed)] for seed in range(5)]
    assert own[0][1] == "0.9521 → 0.9570 [0.9556, 0.9580]"
    assert "<title>5 methods × 5 seeds on mnist_3v8</title>" in page
    # The colour is that of the figures.
    colours = re.findall(r"--own: var\(--s(\d)\)", page.partition("</table>")[0])
    assert list(map(int, colours)) == [method.colour for method in methods(contents.runs)]


def test_the_best_is_the_best_by_its_definition(contents):
    for column in table.heads(contents.groups):
        marked = table.best(contents.groups, column)
        means = {
            place: found.mean
            for place, group in enumerate(contents.groups)
            if (found := table.cell(group, column).found) is not None
        }
        if not column.column.arrow or len(set(means.values())) < 2:
            assert not marked, column.key
            continue
        top = (max if column.column.arrow == "↑" else min)(means.values())
        assert {place for place, mean in means.items() if mean == top} <= marked
        shown = {table.number(abs(means[place]), column.format) for place in marked}
        assert shown == {table.number(abs(top), column.format)}, "what is marked besides is written alike"
    page = render(contents)
    assert page.count("<strong>0.9521 → 0.9570</strong>") == 2
    markdown = contents.as_markdown()
    assert markdown.count("**0.9521 → 0.9570 [0.9556, 0.9580]**") == 2


def test_methods_are_compared_within_a_data_set(tmp_path):
    for place, (data, accuracy) in enumerate((("a", 0.9), ("a", 0.8), ("b", 0.5), ("b", 0.4), ("c", 0.1))):
        more = {"dataset": data, "test_accuracy_after": accuracy}
        make_run(tmp_path / str(place), ("newton", "newton_corrected")[place % 2], 4, **more)
    groups = Contents.of(find_runs([tmp_path])).groups
    column = next(c for c in table.heads(groups) if c.column.main)
    best = {groups[place].rows[0].number("test_accuracy_after") for place in table.best(groups, column)}
    assert best == {0.9, 0.5}, "what is alone is not the best of anything"


def test_csv_has_one_line_a_method_with_the_ends_of_every_interval(contents):
    lines = list(csv.DictReader(io.StringIO(table.methods_as_csv(contents.groups))))
    assert [line["unlearner"] for line in lines] == [group.label for group in contents.groups]
    for line, group in zip(lines, contents.groups, strict=True):
        assert (line["runs"], line["seeds"]) == ("5", "0 1 2 3 4")
        for key, found in group.values.items():
            assert [float(line[f"{key}{end}"]) for end in ("", "_low", "_high")] == list(found)


def test_one_run_is_one_row_that_is_its_own(tmp_path):
    make_run(tmp_path / "only", "newton", 8, seed=3)
    contents = Contents.of(find_runs([tmp_path]))
    page = render(contents, links={"only": "only/", f"{tmp_path.name}/only": "only/"})
    assert len(body_rows(page)) == 1
    assert '<a href="only/">newton</a>' in page
    assert "<title>newton on mnist_3v8</title>" in page
    assert "Mean over the seeds" not in page + contents.as_markdown()
    assert "<strong>0" not in page, "nothing is the best of one"
    assert "## Single runs" not in contents.as_markdown()


def test_no_certified_run(tmp_path):
    make_run(tmp_path / "a", "retrain", 8)
    make_run(tmp_path / "b", "none", 8)
    page = render(Contents.of(find_runs([tmp_path])))
    assert "No run here carries a certificate" in page
    assert "<title>retrain and none on mnist_3v8</title>" in page
    assert "Guarantees" not in page


def test_studies_alone(tmp_path):
    (tmp_path / "s" / ".hydra").mkdir(parents=True)
    (tmp_path / "s" / ".hydra" / "config.yaml").write_text("study: {name: toy}")
    said = {"study": "toy", "seed": 0, "table": [{"x": EVIL, "y": None}]}
    (tmp_path / "s" / "summary.json").write_text(json.dumps(said))
    page = render(Contents.of(find_runs([tmp_path])))
    assert "<title>Studies</title>" in page
    assert "1 study: toy" in page
    assert "script-src 'none'" in page
    assert "<script" not in page
    assert "{{ 7 * 7 }}{% raw %}" in page


def test_unfinished_runs_are_shown_as_far_as_they_are_and_in_no_mean(tmp_path):
    make_run(tmp_path / "0", "newton", 40, seed=0)
    before = Contents.of(find_runs([tmp_path])).groups[0].values
    cut_off(make_run(tmp_path / "1", "newton", 40, seed=1), 30)
    cut_off(make_run(tmp_path / "2", "newton_corrected", 20, seed=1), 15, asked=None)
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "removals.jsonl").write_text('{"cut')
    contents = Contents.of(find_runs([tmp_path]))
    assert contents.groups[0].values == before
    assert [one.so_far for one in contents.begun] == ["30 of 1,000 requests", "15 requests"]
    page = render(contents)
    method, done, begun, other = body_rows(page)
    base = tmp_path.name
    assert (method[0], done[0]) == ("newton 1 seed, 1 unfinished", f"seed 0 {base}/0")
    assert begun[0] == f"seed 1 unfinished: 30 of 1,000 requests {base}/1"
    assert other[0] == f"newton_corrected unfinished: 15 requests {base}/2"
    assert begun[1].startswith("– → 0.95"), "the last that was measured"
    at = [column.key for column in table.heads(contents.groups)]
    assert begun[at.index("seconds_removal_median")] != "–"
    assert "Unfinished: 3 runs, in no average<" in page
    assert "30 of 1,000 requests" in contents.as_markdown()
    assert len(list(csv.DictReader(io.StringIO(as_csv(row.values for row in contents.lines))))) == 1


def test_the_same_run_made_twice_counts_once_and_is_shown(tmp_path):
    for place, (seed, accuracy) in enumerate(((0, 0.9), (1, 0.8), (0, 0.1))):
        make_run(tmp_path / str(place), "newton", 8, seed=seed, test_accuracy_after=accuracy)
    contents = Contents.of(find_runs([tmp_path]))
    (group,) = contents.groups
    assert group.values["test_accuracy_after"].mean == pytest.approx(0.85)
    names = [row[0] for row in body_rows(render(contents))]
    base = tmp_path.name
    assert names == [
        "newton 2 seeds",
        *(f"seed 0 {base}/0", f"seed 1 {base}/1", f"seed 0 again: in no mean {base}/2"),
    ]


def test_unfinished_folders_of_every_kind_stop_nothing(tmp_path):
    make_run(tmp_path / "0", "newton", 8)
    for place, config in enumerate(
        ("study: {name: toy}", "unlearner: newton", "[1", "unlearner: {name: [1]}"), 1
    ):
        (tmp_path / str(place) / ".hydra").mkdir(parents=True)
        (tmp_path / str(place) / ".hydra" / "config.yaml").write_text(config)
    odd = make_run(tmp_path / "5", "newton", 8, seed=[{"x": 1}])
    (odd / "summary.json").unlink()
    (odd / "removals.jsonl").unlink()
    os.mkfifo(odd / "removals.jsonl")
    (odd / "inputs.json").write_text('{"requests": {"count": "many"}}')
    contents = Contents.of(find_runs([tmp_path]))
    assert [one.so_far for one in contents.begun] == ["0 requests"]
    page = render(contents)
    assert "Unfinished: 5 runs" in page
    assert len(body_rows(page)) == 2


def test_words_of_files_are_no_markup_anywhere(tmp_path):
    make_run(tmp_path / "a", "newton", 8, {"update": EVIL}, dataset=EVIL)
    cut_off(make_run(tmp_path / "b", "newton", 8, {"update": "x"}, seed=EVIL), 5)
    contents = Contents.of(find_runs([tmp_path]))
    page = render(contents)
    assert re.findall(r"<script[^>]*>", page) == ["<script>"]
    assert page.count("</script>") == 1
    assert EVIL in unescape(page)
    assert ">49" not in page


# --- LaTeX


def read_tex(words: str) -> str:
    """Return what plain LaTeX text says, read by a reader of our own; fails on what would not compile."""
    known = {
        **{"textasciitilde": "~", "textasciicircum": "^", "textbackslash": "\\", "ldots": "…"},
        **{"ss": "ß", "o": "ø", "O": "Ø", "ae": "æ", "AE": "Æ", "l": "ł", "L": "Ł"},
    }
    said, rest = "", words
    while rest:
        for pattern, value in (
            (r"\\([_%&#${}])", lambda m: m[1]),
            (r"\{\\(ss|o|O|ae|AE|l|L)\}", lambda m: known[m[1]]),
            (r"\\([a-z]{4,})\{\}", lambda m: known[m[1]]),
            (r"\\`\{\}", lambda _: "`"),
            (r"\\([`'^~=.\"]|[urHvc])\{([A-Za-z])\}", lambda m: f"<{m[1]}{m[2]}>"),
            (r"\$([^$]+)\$", lambda m: f"<{m[1]}>"),
            (r"\{([-\[\]*])\}", lambda m: m[1]),
            (r"[^\\{}$%&#_^~]", lambda m: m[0]),
            (r"~", lambda _: " "),
        ):
            if match := re.match(pattern, rest):
                said, rest = said + value(match), rest[match.end() :]
                break
        else:
            raise AssertionError(f"LaTeX would stop at {rest[:20]!r}")
    return said


@given(st.text())
def test_any_text_is_text_to_latex(words):
    written = latex.escaped(words)
    assert written.isascii()
    assert written.isprintable()
    read_tex(written)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"<>|')))
def test_what_ascii_says_is_what_latex_reads(words):
    assert read_tex(latex.escaped(words)) == words


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("a_b & 5% #1 $x {y}", r"a\_b \& 5\% \#1 \$x \{y\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("ε ↑ ↓ → † ≥ × µ –", None),
        ("é ü ç ñ Å ß ø", r"\'{e} \"{u} \c{c} \~{n} \r{A} {\ss} {\o}"),
        ("日", "U+65E5"),
        ("[*]--", "{[}{*}{]}{-}{-}"),
    ],
)
def test_what_latex_makes_of_it(words, written):
    assert latex.escaped(words) == written or (written is None and "U+" not in latex.escaped(words))


def test_the_table_for_a_paper_has_the_best_in_bold_and_half_widths(contents):
    written = tex.as_tex(contents.groups)
    rules = [line for line in written.splitlines() if line.endswith("rule")]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    rows = written.partition("\\midrule\n")[2].partition("\n\\bottomrule")[0].splitlines()
    assert len(rows) == 5
    columns = re.search(r"\\begin\{tabular\}\{(l r*)\}".replace(" ", ""), written)[1]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns)}
    assert written.count(r"\textbf{0.9570 $\pm$ 0.0012}") == 2
    assert written.isascii()


COMMANDS = {
    *("toprule", "midrule", "bottomrule", "begin", "end", "textbf"),  # LaTeX's, and the three of booktabs
    *("varepsilon", "delta", "lambda", "sigma", "mu", "uparrow", "downarrow", "rightarrow", "times", "pm"),
    *("geq", "leq", "infty", "cdot", "dagger", "circ", "ldots", "ss", "o", "O", "ae", "AE", "l", "L"),
    *("textasciitilde", "textasciicircum", "textbackslash", "u", "r", "H", "v", "c"),
}


def parse_tex(written: str) -> list[list[str]]:
    """Return the cells of a ``tabular``, by a reader that stops where LaTeX would; fails on anything else."""
    assert written.isascii()
    assert set("".join(written.splitlines())) <= set(map(chr, range(32, 127)))
    lines = written.splitlines()
    begin, *inside, end = dropwhile(lambda line: line.startswith("%"), lines)
    columns = re.fullmatch(r"\\begin\{tabular\}\{(lr*)\}", begin)[1]
    assert end == r"\end{tabular}"
    assert [inside[k] for k in (0, 3, -1)] == [r"\toprule", r"\midrule", r"\bottomrule"]
    rows = []
    for line in inside[1:3] + inside[4:-1]:
        assert re.fullmatch(r".*(?<!\\)(?:\\\\)? \\\\", line), f"{line} does not end its row"
        cells, depth, math = [""], 0, False
        tokens = re.findall(r"\\[A-Za-z]+|\\.|.", line.removesuffix(r" \\"))
        for token in tokens:
            depth += (token == "{") - (token == "}")
            assert depth >= 0, f"{line} closes what it did not open"
            assert token != "%", f"{line} ends in a comment"
            assert token not in ("#", "~~"), f"{line} has a parameter"
            math ^= token == "$"
            assert math or token not in ("^", "_"), f"{line} has a script outside of mathematics"
            if re.fullmatch(r"\\[A-Za-z]+", token):
                assert token[1:] in COMMANDS, f"{token} is no command of LaTeX or booktabs that is meant"
            if token == "&":
                assert (depth, math) == (0, False), f"{line} ends a cell within a group"
                cells.append("")
            else:
                cells[-1] += token
        assert (depth, math) == (0, False), f"{line} leaves something open"
        assert len(cells) == len(columns), f"{line} has {len(cells)} cells, the table {len(columns)}"
        # What begins a row is taken as an option of the end of the row before.
        assert not cells[0].lstrip().startswith(("[", "*")), line
        rows.append([cell.strip() for cell in cells])
    return rows


def test_the_table_is_what_latex_reads(contents):
    titles, _, *rows = parse_tex(tex.as_tex(contents.groups))
    head = [c for c in table.heads(contents.groups) if c.key == "unlearner" or c.column.arrow]
    assert titles == [latex.escaped(column.title) for column in head]
    assert [row[0] for row in rows] == [latex.escaped(group.title) for group in contents.groups]


SIGNS = ("&", "\\", "\\\\", "{", "}", "$", "%", "#", "_", "^", "~", "[", "*", "-1", "é", "\\end{tabular}")
WORDS = st.text() | st.lists(st.sampled_from(SIGNS)).map("".join)


@given(label=WORDS, head=WORDS, words=WORDS, number=st.floats(-1e12, 1e12))
@settings(max_examples=60, deadline=None)
def test_the_table_is_what_latex_reads_whatever_the_files_say(contents, label, head, words, number):
    groups = []
    for place, group in enumerate(contents.groups):
        of = group.rows[0].of
        columns = {"own": {"head": head, "sub": words, "arrow": "↓", "definition": words}}
        told = {"columns": columns, "guarantee": words, "unlearner": label}
        run = replace(of, summary={**of.summary, **told})
        some = [replace(row, of=run, values={**row.values, "own": number + place}) for row in group.rows]
        groups.append(replace(group, label=label + "x" * place, rows=some))
    titles, _, *rows = parse_tex(tex.as_tex(groups))
    assert len(rows) == len(groups)
    assert latex.escaped(f"{plain(head)} ↓".strip()) in titles


ENGINE = next(filter(None, map(shutil.which, ("tectonic", "pdflatex", "lualatex", "xelatex"))), None)


@pytest.mark.skipif(ENGINE is None, reason="none of tectonic, pdflatex, lualatex, xelatex is on PATH")
def test_latex_compiles_the_table(tmp_path):
    folder = by_methods(tmp_path / "runs", seeds=3)
    make_run(folder / "evil", "newton", 8, {"update": EVIL})
    groups = Contents.of(find_runs([folder])).groups
    (tmp_path / "table.tex").write_text(tex.as_tex(groups))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage[paperwidth=60cm]{geometry}\\usepackage{booktabs}"
        "\\begin{document}\\input{table.tex}\\end{document}"
    )
    halt = [] if Path(str(ENGINE)).name == "tectonic" else ["-halt-on-error", "-interaction=nonstopmode"]
    command = [str(ENGINE), *halt, "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
