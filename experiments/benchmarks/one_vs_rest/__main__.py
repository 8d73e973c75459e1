"""Run by ``python -m experiments.benchmarks.one_vs_rest``."""

import sys

from experiments.benchmarks.one_vs_rest.program import BENCHMARK

sys.exit(BENCHMARK.main())
