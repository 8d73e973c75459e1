"""Whether a GPU gives what the CPU gives: selections bit for bit, batches bit for bit, curvature closely."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from expunge.codec import foci
from expunge.codec.device import DeviceScan
from expunge.codec.placed import columns_there, jittered
from expunge.codec.scan import Scan
from expunge.codec.tie_breaking import jitter
from expunge.curvature import Block, KroneckerFactored, cross_entropy
from expunge.curvature.recorded import Recorded
from expunge.datasets.images import Examples, Images
from expunge.datasets.resident import Resident, resident


def agreement(device: torch.device) -> dict[str, Any]:
    """Each comparison by name: True, or what differs."""
    found: dict[str, Any] = {}
    for compare in (sums, selections, noise, batches, curvature):
        try:
            found |= compare(device)
        except Exception as error:
            found[compare.__name__] = repr(error)[:500]
    return found


def sums(device: torch.device) -> dict[str, Any]:
    """Of candidates among values with many ties and with none, by every way of the scan."""
    rng, wrong = np.random.default_rng(0), []
    sizes = ((3, 1), (9, 4), (64, 300), (129, 7), (1000, 40))
    for (n, p), levels, cyclic, fused in product(sizes, (2, 5, 0), (True, False), (False, "all", "near")):
        columns = rng.integers(0, levels, (p, n)).astype(float) if levels else rng.normal(size=(p, n))
        ranks = rng.integers(1, n + 1, n)
        ways = (
            Scan(columns, ranks, cyclic=cyclic, threads=1),
            DeviceScan(columns, ranks, cyclic=cyclic, device=device, fused=bool(fused)),
        )
        ways[1].near = fused == "near"
        for chosen in range(min(3, p)):
            ways[1].rest = 0
            ours, theirs = (way.sums(np.arange(chosen, p)) for way in ways)
            if not np.array_equal(ours, theirs):
                wrong.append(f"n={n} p={p} levels={levels} cyclic={cyclic} fused={fused} chosen={chosen}")
            if device.type == "cuda" and fused and ways[1].values is None:
                wrong.append(f"n={n} p={p}: the kernel failed")
            for way in ways:
                way.choose(chosen)
    return {"sums": wrong[:20] or True}


def selections(device: torch.device) -> dict[str, Any]:
    """The columns that FOCI takes, and their scores."""
    rng, wrong = np.random.default_rng(1), []
    x = rng.normal(size=(300, 60))
    y = x[:, 3] * x[:, 7] + x[:, 11] + 0.1 * rng.normal(size=300)
    for values, ties in product((x, np.round(x), np.round(3 * x)), ("noise", "random", "first")):
        here = foci(values, y, ties=ties, rng=5, stop=False, max_features=8)
        there = foci(torch.from_numpy(values).to(device), y, ties=ties, rng=5, stop=False, max_features=8)
        if not (np.array_equal(here.columns, there.columns) and np.array_equal(here.scores, there.scores)):
            wrong.append(f"{ties}: {here.columns.tolist()} and {there.columns.tolist()}")
    return {"selections": wrong or True}


def noise(device: torch.device) -> dict[str, Any]:
    """The noise of L-CODEC on columns."""
    x = np.random.default_rng(2).normal(size=(777, 1301)) * np.logspace(-6, 6, 1301)
    columns, _ = columns_there(torch.from_numpy(x).to(device), "X", len(x))
    there = jittered(columns, "noise", 1e-6, np.random.default_rng(3), None).cpu().numpy()
    here = jitter(np.ascontiguousarray(x.T), "noise", 1e-6, np.random.default_rng(3))
    return {"noise": bool(np.array_equal(here, there)) or float(np.abs(here - there).max())}


def batches(device: torch.device) -> dict[str, Any]:
    """Batches cut on the device, and sent there."""
    rng, found = np.random.default_rng(4), {}
    for kind in ("uint8", "int16", "float16", "float32", "float64"):
        images = Images.of((255 * rng.random((500, 9, 8, 3))).astype(kind), 255.0, 0.5)
        sent = Examples(images, torch.arange(500), np.arange(500), device=device)
        kept = resident(sent, device, 1)
        order = rng.permutation(500)
        ways = [sent.take(order), kept.take(order)]
        if device.type == "cuda":
            ways.append(kept.at(torch.from_numpy(order).to(device)))
        same = all(torch.equal(a, b) for one in ways for a, b in zip(one, ways[0], strict=True))
        found[f"batches {kind}"] = same and (device.type == "cpu" or isinstance(kept.x, Resident))
    return found


def curvature(device: torch.device) -> dict[str, Any]:
    """Products of K-FAC on a network in float64: the largest difference, relative."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 4, 12), nn.ReLU(), nn.Linear(12, 7),
    ).double().eval()  # fmt: skip
    x, y = torch.randn(20, 3, 8, 8, dtype=torch.float64), torch.arange(20) % 7
    units = {"0": [0, 3], "4": [1, 2, 6], "7": [0, 5], "9": [1, 2, 4]}
    found = {}
    for columns in (None, 4):
        products = []
        for where in (torch.device("cpu"), device):
            module = network.to(where)
            block = Block.of(module, units)
            curved = KroneckerFactored(
                module, cross_entropy, [(x.to(where), y.to(where))], block, columns, np.random.default_rng(0)
            )
            vector = torch.linspace(-1, 1, block.size, dtype=torch.float64)
            products.append(curved(vector))
            if device.type == "cuda" and where == device:
                there, replayed = vector.to(device), Recorded(curved)
                same = [
                    bool(torch.equal(replayed(k * there), curved(k * there))) for k in (1.0, 2.0, 0.5, -3.0)
                ]
                found[f"recorded products of {columns} columns"] = (
                    all(same) and replayed._graph is not None
                ) or same
        off = float((products[0] - products[1]).abs().max() / products[0].abs().max())
        found[f"kfac of {columns} columns, relative difference"] = off
    return found
