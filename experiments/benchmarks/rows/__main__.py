"""Run by ``python -m experiments.benchmarks.rows``."""

import sys

from experiments.benchmarks.rows.program import BENCHMARK

sys.exit(BENCHMARK.main())
