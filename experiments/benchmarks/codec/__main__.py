"""Run by ``python -m experiments.benchmarks.codec``."""

import sys

from experiments.benchmarks.codec.program import BENCHMARK

sys.exit(BENCHMARK.main())
