"""Run by ``python -m experiments.benchmarks.head``."""

import sys

from experiments.benchmarks.head.program import BENCHMARK

sys.exit(BENCHMARK.main())
