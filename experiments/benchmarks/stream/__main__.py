"""Run by ``python -m experiments.benchmarks.stream``."""

import sys

from experiments.benchmarks.stream.program import BENCHMARK

sys.exit(BENCHMARK.main())
