"""Several processes sum what one would: with real processes, by hand and under torchrun."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InvalidValue
from expunge.linear import shared_passes
from expunge.linear.cuts import BLOCKS, PARTS, Cut
from expunge.linear.rows import BLOCK_ROWS
from expunge.linear.shared_table import Division
from expunge.ranks.place import place_of
from tests import cli
from tests.ranks.processes import by_hand, ended, lines_of, torchrun, until

N = 5 * BLOCK_ROWS + 7
ARGUMENTS = ("dataset=arrays", "dataset.path=rows.npz", "figures=false", "threads=1", "removal=random")
VARIANTS = (
    (*("unlearner=newton_corrected,newton_rowless,newton_third_order",), "dataset.classes=[0,1]"),
    (*("unlearner=newton_corrected,newton", "unlearner.solver=iterative"),),
    (*("unlearner=newton", "unlearner.subsample_ratio=0.3"),),
    (*("unlearner=newton_corrected", "unlearner.solver=direct"),),  # columns that share passes
)
LEDGER, MODEL = "removals.jsonl", "model.safetensors"
KILLED = ("unlearner=newton_corrected", "removal.count=250", "checkpoint_every=20", "hydra.run.dir=run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("ranks")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + 300, 9)).astype(np.float32)
    y = np.argmax(x @ rng.normal(size=(9, 4)) + rng.normal(size=(len(x), 4)), axis=1)
    np.savez(made / "rows.npz", x=x[:N], y=y[:N], x_test=x[N:], y_test=y[N:])
    return made


def sweeps(name):
    count = ("removal.count=3", "removal.batch_size=2")
    return [("-m", *ARGUMENTS, *count, *of, f"hydra.sweep.dir={name}{k}") for k, of in enumerate(VARIANTS)]


def results(folder, name):
    """Of each run its ledger, without seconds, and its model."""
    found = {}
    for ledger in sorted(folder.glob(f"{name}?/**/{LEDGER}")):
        run = ledger.parent.relative_to(folder).as_posix().removeprefix(name)
        found[run] = recorded(ledger), (ledger.parent / MODEL).read_bytes()
    return found


def recorded(ledger):
    lines = map(json.loads, ledger.read_text().splitlines())
    return [
        {key: value for key, value in line.items() if "seconds" not in key and "memory" not in key}
        for line in lines
    ]


@pytest.fixture(scope="module")
def alone(folder):
    """The variants in one process, without torchrun."""
    with mock.patch.object(shared_passes, "LEAST_NUMBERS", 0):
        for arguments in sweeps("alone"):
            assert cli.expunge(*arguments, cwd=folder).code == 0
    found = results(folder, "alone")
    assert len(found) == 7
    return found


@pytest.mark.parametrize("size", [2, 3, 5])
def test_runs_are_the_same_for_any_number_of_ranks(size, folder, alone):
    commands = json.dumps(sweeps(f"of{size}_"))
    (end,) = ended([torchrun(size, commands, cwd=folder, program="tests.ranks.runs")])
    assert end.code == 0, end.err
    assert results(folder, f"of{size}_") == alone


def test_every_pass_is_that_of_one_process(tmp_path):
    with by_hand(3, "tests.ranks.sums", "check", str(tmp_path), folders=[tmp_path]) as processes:
        first, *others = ended(processes)
    assert (first.code, first.out) == (0, "done\n"), first.err
    assert all((end.code, end.out, end.err) == (0, "", "") for end in others)


def test_ranks_that_disagree_on_data(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for k, each in enumerate(folders):
        each.mkdir()
        np.save(each / "rows.npy", np.full((2 * BLOCK_ROWS, 7), 1.0 + k))
    np.save(folders[0] / "missing.npy", np.ones((2 * BLOCK_ROWS, 7)))
    with by_hand(2, "tests.ranks.sums", "disagree", str(tmp_path), folders=folders) as processes:
        first, _ = ended(processes)
    other, missing, done = first.out.splitlines()
    said = "rank 1 finds other numbers in it than rank 0; all ranks must read the same file"
    assert other == f"/proc/self/cwd/rows.npy: {said}", first.err
    assert missing.startswith("rank 1: /proc/self/cwd/missing.npy: No such file")
    assert done == "done"


@pytest.fixture(scope="module")
def unbroken(folder):
    """The run that is killed in other tests, in one process."""
    assert cli.expunge(*ARGUMENTS, *KILLED[:-1], "hydra.run.dir=unbroken", cwd=folder).code == 0
    return recorded(folder / "unbroken" / LEDGER), (folder / "unbroken" / MODEL).read_bytes()


@pytest.mark.parametrize(
    ("victim", "number", "code", "said"),
    [
        (
            1,
            signal.SIGKILL,
            1,
            "rank 1 has ended before its time (killed, or out of memory); so all ranks end",
        ),
        (
            0,
            signal.SIGKILL,
            -9,
            "rank 0 has ended before its time (killed, or out of memory); what is recorded",
        ),
        (None, signal.SIGINT, 130, "interrupted; "),
    ],
)
def test_the_end_of_one_ends_all_and_another_number_goes_on(
    victim, number, code, said, folder, unbroken, tmp_path
):
    if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("SIGINT is ignored here, and so it is by what is started")
    (tmp_path / "rows.npz").symlink_to(folder / "rows.npz")
    with by_hand(3 if victim else 2, "expunge", *ARGUMENTS, *KILLED, folders=[tmp_path]) as processes:
        until(tmp_path / "run" / LEDGER, 25)
        begun = time.monotonic()
        for process in processes if victim is None else [processes[victim]]:
            os.kill(process.pid, number)
        ends = ended(processes, 20)
    assert time.monotonic() - begun < 10
    (line,) = lines_of(ends)
    assert line.startswith(f"expunge: {said}")
    assert ends[0].code == code
    assert not any("Traceback" in end.err for end in ends)
    if victim:
        (end,) = ended([torchrun(2, *ARGUMENTS, *KILLED, "resume=true", cwd=tmp_path)])
    else:
        end = cli.expunge(*ARGUMENTS, *KILLED, "resume=true", cwd=tmp_path)
    assert end.code == 0, end.err
    assert (recorded(tmp_path / "run" / LEDGER), (tmp_path / "run" / MODEL).read_bytes()) == unbroken


def test_a_rank_that_is_killed_under_torchrun(folder, unbroken, tmp_path):
    (tmp_path / "rows.npz").symlink_to(folder / "rows.npz")
    process = torchrun(2, *ARGUMENTS, *KILLED, cwd=tmp_path)
    until(tmp_path / "run" / LEDGER, 25)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    ranks = [int(pid) for pid in children.read_text().split()]
    assert len(ranks) == 2
    begun = time.monotonic()
    os.kill(ranks[1], signal.SIGKILL)
    (end,) = ended([process], 20)
    assert time.monotonic() - begun < 10
    assert end.code == 1
    assert len(lines_of([end])) == 1, end.err
    end = cli.expunge(*ARGUMENTS, *KILLED, "resume=true", cwd=tmp_path)
    assert end.code == 0
    assert (recorded(tmp_path / "run" / LEDGER), (tmp_path / "run" / MODEL).read_bytes()) == unbroken


def test_a_rank_that_is_stopped_is_waited_for(folder, unbroken, tmp_path):
    (tmp_path / "rows.npz").symlink_to(folder / "rows.npz")
    with by_hand(2, "expunge", *ARGUMENTS, *KILLED, folders=[tmp_path]) as processes:
        until(tmp_path / "run" / LEDGER, 25)
        os.kill(processes[1].pid, signal.SIGSTOP)
        time.sleep(2)
        assert processes[0].poll() is None
        os.kill(processes[1].pid, signal.SIGCONT)
        ends = ended(processes)
    assert [end.code for end in ends] == [0, 0]
    assert (recorded(tmp_path / "run" / LEDGER), (tmp_path / "run" / MODEL).read_bytes()) == unbroken


def test_bad_input_is_one_line_of_all(folder):
    with by_hand(2, "expunge", *ARGUMENTS, "unlearner.lam=-1", folders=[folder]) as processes:
        ends = ended(processes)
    assert [end.code for end in ends] == [2, 0]
    assert ends[0].err == "expunge: unlearner.lam: got -1, allowed: a finite number > 0\n"
    assert (ends[1].out, ends[1].err) == ("", "")


def test_what_is_not_shared_out_is_said(folder):
    few = ("removal.count=1", "hydra.run.dir=network")
    small = ("unlearner=none", "model=mlp", "training=sgd", "training.epochs=1")
    with by_hand(2, "expunge", *ARGUMENTS, *few, *small, folders=[folder]) as processes:
        ends = ended(processes)
    assert [end.code for end in ends] == [0, 0], ends[0].err
    said = "2 ranks: only dense rows of a linear model are shared out; rank 0 works alone"
    assert said in " ".join(ends[0].out.split())


# -- who has what -------------------------------------------------------------------------------------------


@given(
    st.integers(0, 20_000),
    st.integers(2, 9),
    st.sampled_from(["blocks", "parts", "runs"]),
    st.sampled_from([(PARTS, 1), (PARTS, 2), (2, 1)]),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_unit_is_with_one_rank_that_has_all_its_rows(n, ranks, kind, parts, share, skewed):
    cut = BLOCKS if kind == "blocks" else Cut(kind, *parts)
    division = Division.of(n, ranks)
    rng = np.random.default_rng(n)
    used = np.arange(n) < share * n if skewed else rng.random(n) < share
    for index in (None, np.flatnonzero(used)):
        places = n if index is None else len(index)
        ids = np.arange(n) if index is None else index
        edges, seen = cut.edges(places), set()
        assert edges[0][0] == 0
        assert edges[-1][-1] == places
        for rank, (first, last) in division.units(cut, places, index).items():
            assert not seen & {*range(first, last)}
            seen |= {*range(first, last)}
            own = ids[edges[first][0] : edges[last - 1][-1]]
            assert len(own)
            low, high = division.held[rank]
            assert low <= own.min()
            assert own.max() < high
        if index is None and kind == "blocks":
            assert len(seen) >= len(edges) - -(-len(edges) // ranks)  # rank 0 has no more than its share


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"RANK": "2"}, "RANK: got '2', allowed: a whole number from 0 to 1"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE: got 'many', allowed: a whole number from 1 to 1048576"),
        ({"MASTER_PORT": "0"}, "MASTER_PORT: got '0', allowed: a whole number from 1 to 65535"),
    ],
)
def test_an_environment_that_says_nonsense(changed, said):
    known = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "29500"}
    with pytest.raises(InvalidValue, match=said):
        place_of(known | changed)
    assert place_of({key: value for key, value in known.items() if key not in changed}) is None
    assert place_of(known | {"WORLD_SIZE": "1"}) is None
