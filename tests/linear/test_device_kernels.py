"""The kernel for a GPU, interpreted on the processor where Triton is installed: the sums of plain torch."""

import importlib.util
import os
import subprocess
import sys

import pytest

_PROGRAM = """
import numpy as np, torch
from expunge.linear import device_kernels as kernels

rng = np.random.default_rng(0)
for kind in (torch.float16, torch.uint8, torch.bfloat16, torch.float32, torch.float64):
    for n, d, offset in ((5, 3, 0.0), (30, 33, 127.5), (1030, 5, 0.0))[: 3 if kind == torch.float16 else 2]:
        raw = torch.from_numpy(rng.integers(0, 256, (n, d))).to(kind)
        scale = torch.from_numpy(rng.random(n))
        scale[::3] = 0.0
        y, w = torch.from_numpy(rng.choice([-1.0, -0.5, 1.0], n)), torch.from_numpy(rng.normal(size=d) / 99)
        for places in (None, torch.arange(0, n, 2)):
            chosen = slice(None) if places is None else places
            x, own = ((raw.double() - offset) * scale[:, None])[chosen], y[chosen]
            z, rows = x @ w, (raw, places, scale)
            gradient, _ = kernels.walk(kernels.GRADIENT, *rows, y, w, offset)
            curved, powers = kernels.walk(kernels.CURVED, *rows, y.abs(), w, offset)
            scores, _ = kernels.walk(kernels.SCORES, *rows, None, w, offset)
            close = {"rtol": 1e-10, "atol": 1e-9}
            torch.testing.assert_close(gradient, (-own * torch.sigmoid(-torch.sign(own) * z)) @ x, **close)
            torch.testing.assert_close(curved, (own.abs() * z) @ x, **close)
            torch.testing.assert_close(powers, torch.stack([(z**2).sum(), (z**4).sum()]), **close)
            torch.testing.assert_close(scores[chosen], z, **close)
print("the same")
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernel_sums_what_plain_torch_sums():
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], env=env, capture_output=True, text=True)
    assert ended.stdout == "the same\n", ended.stderr
