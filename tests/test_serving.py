"""The service: each request is served once, whatever ends it; asked again, it is answered as it was."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge import CertifiedLogisticRegression, RemovalService
from expunge.core.errors import DataError, InvalidValue, RunFolderError
from expunge.core.files import load_state
from expunge.linear.rows_away import RowsOutOfReach
from expunge.record.ledger import Ledger
from expunge.record.requests.journal import RequestTaken
from tests.kills.events import KILLED, ended
from tests.readme.pages import ROOT, python_blocks

N, D = 60, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D))
Y = np.array(["no", "yes"])[(X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int)]
pytestmark = pytest.mark.filterwarnings("ignore:noise of std")


def saved(folder: Path, **how) -> Path:
    """A model that has been trained, in a file."""
    settings_of = {"lam": 0.05, "random_state": 0} | how
    CertifiedLogisticRegression(**settings_of).fit(X, Y).save(folder / "m.safetensors")
    return folder / "m.safetensors"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("served"))


@pytest.fixture
def path(template, tmp_path):
    return Path(shutil.copy(template, tmp_path / "m.safetensors"))


def journal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.requests.jsonl")


def names_in(folder: Path) -> set[str]:
    """Its files but for locks, which a kill may leave: they are in nobody's way."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


# -- once, and the same again --------------------------------------------------------------------------------


class Killed(BaseException):
    """The end of a process, as far as files are concerned."""


STEPS = ("prepare", "save", "answer")
asked = st.lists(st.integers(0, 11), min_size=1, max_size=4)
requests = st.tuples(st.sampled_from("abcde"), asked)
kills = st.tuples(st.sampled_from(STEPS), st.booleans(), st.integers(0, 400))
events = st.one_of(
    st.tuples(st.just("ask"), requests),
    st.tuples(st.just("retry"), st.integers(0, 9)),
    st.tuples(st.just("reload"), st.none()),
    st.tuples(st.just("kill"), st.tuples(requests, kills)),
)


def ask_and_be_killed(service, request, step, done, torn):
    """Ask, and end before or after a step; of a line that is being written ``torn`` bytes are not there."""
    append, save = Ledger.append, CertifiedLogisticRegression.save

    def at(name, work):
        if name == step and not done:
            raise Killed
        work()
        if name == step:
            raise Killed

    def appended(ledger, record):
        name = {"prepared": "prepare", "answered": "answer"}[record["step"]]
        found = []
        at(name, lambda: found.append(append(ledger, record)))
        return found[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "append", appended)
        patch.setattr(CertifiedLogisticRegression, "save", lambda *a, **k: at("save", lambda: save(*a, **k)))
        with pytest.raises(Killed):
            service.remove(*request)
    if done and step != "save" and torn:
        file = journal_of(service.path)
        content = file.read_bytes()
        last = content[:-1].rfind(b"\n") + 1
        file.write_bytes(content[: max(last, len(content) - torn)])
    service.close()


class Oracle:
    """What was asked first under an id, and which rows are gone: two dictionaries."""

    def __init__(self):
        self.answers, self.gone = {}, {}

    def knows(self, request, rows):
        return request in self.answers and self.asked(request) == {*rows}

    def asked(self, request):
        answer = self.answers[request]
        return {*answer.rows, *answer.gone}

    def check(self, service, request, rows):
        """Ask, and compare with what must be answered."""
        if request in self.answers and not self.knows(request, rows):
            with pytest.raises(RequestTaken, match=f"^request: got '{request}', allowed: a new id"):
                service.remove(request, rows)
            return
        answer = service.remove(request, rows)
        if request in self.answers:
            assert answer == self.answers[request]
            return
        new = [row for row in dict.fromkeys(rows) if row not in self.gone]
        assert answer.rows == tuple(new)
        assert answer.gone == tuple(sorted({row for row in rows if row in self.gone}))
        assert answer.twice == tuple(sorted({row for row in rows if rows.count(row) > 1}))
        assert (answer.outcome, answer.note is None) == (
            "removed" if new else "unchanged",
            not (answer.twice or answer.gone),
        )
        self.answers[request] = answer
        self.gone |= dict.fromkeys(new)


@settings(max_examples=25, deadline=None)
@given(st.lists(events, max_size=7))
def test_requests_retries_kills_and_reloads_come_to_what_a_dictionary_says(template, happened):
    with tempfile.TemporaryDirectory() as folder:
        path, oracle = Path(shutil.copy(template, folder)), Oracle()
        service = RemovalService(path, X, Y)
        for what, of_it in happened:
            if what == "ask":
                oracle.check(service, *of_it)
            elif what == "retry" and oracle.answers:
                request = [*oracle.answers][of_it % len(oracle.answers)]
                oracle.check(service, request, sorted(oracle.asked(request)))
            elif what == "reload":
                service.close()
                service = RemovalService(path, X, Y)
            elif what == "kill":
                request, end = of_it
                new = [row for row in request[1] if row not in oracle.gone]
                if request[0] in oracle.answers or (end[0] == "save" and not new):
                    continue  # what is answered already takes no step
                ask_and_be_killed(service, request, *end)
                service = RemovalService(path, X, Y)
                oracle.check(service, *request)  # whether it had come so far or not
        gone = [row in oracle.gone for row in range(N)]
        for served in (service, service.close() or RemovalService(path, X, Y)):
            assert served.answers == [*oracle.answers.values()]
            np.testing.assert_array_equal(served.model.retained_, ~np.array(gone))
            removed = [a.epsilon_spent for a in served.answers if a.outcome == "removed"]
            assert served.model.certificate_.released == 1 + len(removed)
            assert removed == sorted(set(removed))
        alone = CertifiedLogisticRegression.load(template, X, Y)
        if oracle.gone:
            alone.remove([*oracle.gone])
            alone.save(Path(folder) / "alone")
        for column, other in zip(served.model._engine_.columns, alone._engine_.columns, strict=True):
            np.testing.assert_array_equal(column.w, other.w)
        served.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks up open files in /proc")
def test_a_kill_at_any_event_of_any_file_loses_nothing_and_repeats_nothing(template, tmp_path):
    def work(folder):
        def asked():
            with RemovalService(folder / "m.safetensors", X, Y) as service:
                service.remove("a", [1, 2])
            return 0

        return asked

    def begun(name):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(template, folder)
        return folder

    whole = begun("whole")
    done = ended(work(whole), whole)
    assert done.code == 0, done.said
    with RemovalService(whole / "m.safetensors", X, Y) as service:
        first = service.answers
    for event, _ in enumerate(done.events):
        folder = begun(str(event))
        assert ended(work(folder), folder, event).code == KILLED
        with RemovalService(folder / "m.safetensors", X, Y) as service:
            assert service.remove("a", [1, 2]) == first[0]
            assert service.answers == first
            assert service.model.certificate_.released == 2
        assert names_in(folder) == names_in(whole)
        states = [load_state(kept / "m.safetensors").arrays for kept in (whole, folder)]
        assert states[0].keys() == states[1].keys()
        assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_what_failed_amid_a_request_is_found_out_without_a_restart(path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with RemovalService(path, X, Y) as service:
        before = service.model.coef_
        with monkeypatch.context() as patch:
            patch.setattr(CertifiedLogisticRegression, "save", full)
            with pytest.raises(OSError, match="No space"):
                service.remove("a", [1])
        np.testing.assert_array_equal(service.model.coef_, before)
        assert service.answers == []
        assert service.remove("a", [1]).outcome == "removed"
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", full)
            with pytest.raises(OSError, match="No space"):
                service.remove("b", [2])
        assert service.remove("b", [2]).outcome == "removed"
        assert [answer.request for answer in service.answers] == ["a", "b"]
    steps = [json.loads(line)["step"] for line in journal_of(path).read_bytes().splitlines()]
    assert steps == ["prepared", "void", *["prepared", "answered"] * 2]


def test_threads_are_served_one_after_the_other(path):
    asked = [(f"r{number % 6}", [number % 6, number % 6 + 20]) for number in range(18)]
    with RemovalService(path, X, Y) as service, ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda one: service.remove(*one), asked)]
        assert {answer.request: answer for answer in found} == {a.request: a for a in service.answers}
        for (request, _), answer in zip(asked, found, strict=True):
            assert answer == next(a for a in service.answers if a.request == request)
        assert service.model.certificate_.released == 7


def test_a_refused_request_changes_nothing_and_is_refused_again(path):
    rows = np.flatnonzero(Y == "yes").tolist()
    with RemovalService(path, X, Y) as service:
        assert service.remove("some", rows[1:]).outcome == "removed"
        content = path.read_bytes()
        refused = service.remove("last", rows)
        assert (refused.outcome, refused.rows, len(refused.gone)) == ("refused", (rows[0],), len(rows) - 1)
        assert "one class alone" in refused.reason
        assert path.read_bytes() == content
    with RemovalService(path, X, Y) as service:
        assert service.remove("last", rows) == refused
        assert service.model.retained_[rows[0]]


# -- rows that are not there ---------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [np.array, pd.DataFrame, np.ndarray.tolist])
def test_without_rows_a_request_brings_them_but_for_those_that_left(container, tmp_path):
    path = saved(tmp_path, update="rowless", std=1.0)
    with RemovalService(path, live=True) as service:
        assert service.remove("a", [3], X[[3]], Y[[3]]).outcome == "removed"
        brought = X[[4, 3, 5, 4]]
        brought[1] = 7.0  # whoever asks again may not have it any more
        answer = service.remove("b", [4, 3, 5, 4], container(brought), Y[[4, 3, 5, 4]])
        assert (answer.rows, answer.gone, answer.twice) == ((4, 5), (3,), (4,))
        assert answer.note == "row 4 named twice, and served once; row 3 had left before"
        assert service.remove("b", [4, 3, 5]) == answer
        for rows, labels, of in (([6, 3], [6, 3], [6]), ([6, 3], [6], [6, 3])):
            with pytest.raises(ValueError, match="inconsistent numbers of samples"):
                service.remove("c", rows, X[of], Y[labels])
        with pytest.raises(DataError, match="brought as row 6 is another"):
            service.remove("c", [6, 3], X[[7, 3]], Y[[6, 3]])
        with pytest.raises(RowsOutOfReach):
            service.remove("c", [6])
    with RemovalService(path) as service:
        with pytest.raises(RowsOutOfReach, match="live=True"):  # the file would give the row back
            service.remove("c", [6], X[[6]], Y[[6]])
        assert service.model.retained_[6]
    with RemovalService(path, X, Y) as service:  # where the data are
        assert service.remove("b", [5, 4, 3]) == answer
        assert service.remove("c", [6]).outcome == "removed"
    assert "live" not in load_state(path).values


def test_the_journal_knows_rows_by_their_ids_alone(path):
    keys = {"line", "step", "model", "request", "rows", "twice", "gone", "outcome", "reason"}
    with RemovalService(path, X, Y) as service:
        service.remove("a", [1, 2])
    first, last = map(json.loads, journal_of(path).read_text().splitlines())
    assert first.keys() == keys | {"epsilon_spent", "residual_bound", "budget"}
    assert (first["rows"], last.keys()) == ([1, 2], {"line", "step", "model", "request"})


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "rows", "said"),
    [
        ("", [1], "request: got '', allowed: a name"),
        ("a\nb", [1], "request: got 'a\\\\nb', allowed: a name"),
        (7, [1], "request: got 7, allowed: a name"),
        ("a", [], "rows: got \\[\\], allowed: a list of one or more whole numbers"),
        ("a", [N], f"rows: got {N}, allowed: rows from 0 to {N - 1}"),
        ("a", [-1], "rows: got -1, allowed"),
        ("a", [1.5], "rows: got \\[1.5\\], allowed"),
        ("a", [True], "rows: got 'a boolean mask'"),
        ("a", "1", "rows: got '1', allowed"),
    ],
)
def test_what_is_no_request_is_one_line_and_leaves_no_trace(path, request_, rows, said):
    with RemovalService(path, X, Y) as service:
        with pytest.raises(InvalidValue, match=f"^{said}") as caught:
            service.remove(request_, rows)
        assert "\n" not in str(caught.value)
    assert journal_of(path).read_bytes() == b""


def test_files_that_do_not_belong_together_are_refused_in_one_line(path, template, tmp_path):
    with RemovalService(path, X, Y) as service:
        service.remove("a", [1])
        service.remove("b", [2])
        with pytest.raises(DataError, match=r"m\.safetensors: another process serves it; allowed: one"):
            RemovalService(path, X, Y)
    journal, kept = journal_of(path), path.read_bytes()
    content = journal.read_bytes()

    def refused(error, match):
        with pytest.raises(error, match=match) as caught:
            RemovalService(path, X, Y)
        assert "\n" not in str(caught.value)
        assert "force=true" not in str(caught.value)  # of a run

    shutil.copy(template, path)  # an older one
    refused(
        DataError, r"request 'a' was answered, and its row 1 is in the model; allowed: the model as it was"
    )
    saved(tmp_path)
    refused(DataError, r"requests.jsonl: of another training than the model")
    path.write_bytes(kept)
    journal.write_bytes(content.replace(b'"rows": [1]', b'"rows": [3]'))
    refused(RunFolderError, r"requests.jsonl:1: damaged, .*restore it from a copy, or delete it")
    journal.write_bytes(content)
    journal.with_suffix(".sha256").rename(tmp_path / "sums")
    refused(RunFolderError, r"requests.sha256: missing, .*restore it from a copy, or delete it")
    (tmp_path / "sums").rename(journal.with_suffix(".sha256"))
    with RemovalService(path, X, Y) as service:
        assert [answer.request for answer in service.answers] == ["a", "b"]
    for row in (1, 3):
        with pytest.raises(DataError, match=r"m\.safetensors: is not served any more; allowed: a Removal"):
            service.remove("c", [row])
    lines = [{"line": 1, "step": "answered", "model": json.loads(content.splitlines()[0])["model"]}]
    for line in (lines[0], lines[0] | {"step": "prepared"}):  # whose sums are right
        journal.unlink()
        journal.with_suffix(".sha256").unlink()
        with Ledger(journal, ("line", "step", "model", "request")) as made:
            made.append(line | {"request": "a"})
        refused(DataError, r"requests.jsonl: (line 1: closes a request that is not open|not a journal)")
    for there in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match=r"no such file; allowed: a model written by save"):
            RemovalService(there, X, Y)


def test_the_page_says_what_it_prints(tmp_path, monkeypatch, capsys):
    (code,) = python_blocks(ROOT / "docs" / "serving.md")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "serving.md", "exec"), {})
    said = [line.partition("  # ")[2] for line in code.splitlines() if "print(" in line]
    assert capsys.readouterr().out.splitlines() == said
