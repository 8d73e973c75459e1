"""Run by ``python -m experiments.benchmarks.rowless``."""

import sys

from experiments.benchmarks.rowless.program import BENCHMARK

sys.exit(BENCHMARK.main())
