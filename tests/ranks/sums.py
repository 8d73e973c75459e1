"""Run as several processes: every pass over shared rows against the same pass in one process, bit for bit."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from expunge.core.errors import DataError
from expunge.core.mapped import map_array
from expunge.linear import column_sums
from expunge.linear.anchor import Anchor
from expunge.linear.column_passes import ColumnPasses
from expunge.linear.logistic import LogisticProblem
from expunge.linear.rows import BLOCK_ROWS, Rows
from expunge.linear.shared_rows import SharedRows, spread
from expunge.ranked import with_ranks

D = 7


def same(one, other):
    if isinstance(one, tuple):
        for a, b in zip(one, other, strict=True):
            same(a, b)
        return
    assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def passes(rows: Rows, shared: Rows, y, rng) -> None:
    """All that is asked of rows."""
    w, step = rng.normal(size=D), rng.normal(size=D)
    for of in (
        lambda x: x.gradient(y, w),
        lambda x: x.scores(w),
        lambda x: x.weighted_gram(),
        lambda x: x.weighted_gram(None, np.float32),
        lambda x: x.absolute(np.abs(w)),
        lambda x: x.curved(x.slopes(y, w), step),
        lambda x: x.squares(x.slopes(y, w)),
        lambda x: x.weighted_gram(x.slopes(y, w), np.float32),
        lambda x: x.gram(),
        lambda x: LogisticProblem(x, y, 1e-3, w).hessian(w),
    ):
        same(of(rows), of(shared))
    one, other = (Anchor.of(LogisticProblem(x, y, 1e-3, w), w) for x in (rows, shared))
    same((one.curvature, one.third, one.gradient), (other.curvature, other.third, other.gradient))


def columns(rows: Rows, shared: Rows, labels, rng) -> None:
    """Passes for many columns; their arrays lie in memory in either order."""
    w, b = np.asfortranarray(rng.normal(size=(D, 4))), rng.normal(size=D)
    found = []
    for x in (rows, shared):
        problems = [LogisticProblem(x, np.where(labels == k, 1.0, -1.0), 1e-3, b, True) for k in range(4)]
        own, every, some = ColumnPasses.of(problems), np.arange(4), np.array([0, 3])
        slopes = own.slopes()
        parts = [own.look(w, slopes), own.curved(slopes, w, every), *own.gradients(w, every, slopes)]
        parts += [*own.gradients(w[:, some], some, slopes), own.curved(slopes, w[:, some], some)]
        found.append((*parts, own.diagonals(slopes)))
    same(*found)


def check(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for blocks, kind in ((5, "float64"), (1, "float32"), (9, "float16"), (2, "uint8")):
        n = blocks * BLOCK_ROWS + (7 if blocks > 1 else -1000)
        raw = rng.integers(0, 255, size=(n, D)).astype(kind)
        np.save(folder / f"{kind}.npy", raw)
        mapped = map_array(folder / f"{kind}.npy", kind, raw.shape, 128, "C")
        labels = rng.integers(0, 4, size=n)
        y = np.where(labels == 0, 1.0, -1.0)
        for table in (raw, mapped[1:]):
            rows = Rows.normalised(table, 0.5)
            own, own_labels = y[-len(rows) :], labels[-len(rows) :]
            shared = spread(rows, 1)
            assert isinstance(shared, SharedRows)
            shared.rehearse()
            for gone in (np.array([], dtype=np.int64), rng.choice(len(rows), size=9, replace=False)):
                rows, shared = rows.without(gone), shared.without(gone)
                passes(rows, shared, own, rng)
            columns(rows, shared, own_labels, rng)
            first = np.flatnonzero(rows.scale)[:3]
            rows, shared = rows.without(first), shared.without(first)
            some = rng.random(len(rows)) < 0.4
            skewed = np.arange(len(rows)) < len(rows) // 3
            for used in (some, skewed, skewed & some):
                part, shared_part = rows.only(used), shared.only(used)
                passes(part, shared_part, own, rng)
                columns(part, shared_part, own_labels, rng)
                left = np.zeros(len(rows), dtype=bool)
                left[np.flatnonzero(used & (rows.scale != 0))[::7]] = True
                out = np.flatnonzero(left)
                part, shared_part = part.without(out), shared_part.without(out)
                passes(part.compacted(left), shared_part.compacted(left), own, rng)


def disagree(folder: Path) -> None:
    """A file that is another for each process: it is named by where the process is."""
    for name in ("rows", "missing"):
        path = Path(f"/proc/self/cwd/{name}.npy")
        rows = Rows.normalised(map_array(path, np.float64, (2 * BLOCK_ROWS, D), 128, "C"))
        try:
            spread(rows, 1)
        except DataError as error:
            print(error)


def main() -> None:
    column_sums._CACHED = 300 * 8 * D  # blocks in pieces
    work = {"check": check, "disagree": disagree}[sys.argv[1]]

    def command() -> None:
        work(Path(sys.argv[2]))
        print("done")

    with_ranks(command)


if __name__ == "__main__":
    main()
