"""Run by ``python -m experiments.benchmarks.removal``."""

import sys

from experiments.benchmarks.removal.program import BENCHMARK

sys.exit(BENCHMARK.main())
