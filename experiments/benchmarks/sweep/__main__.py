"""Run by ``python -m experiments.benchmarks.sweep``."""

import sys

from experiments.benchmarks.sweep.program import BENCHMARK

sys.exit(BENCHMARK.main())
