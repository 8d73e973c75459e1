"""Run by ``python -m experiments.benchmarks.scrub``."""

import sys

from experiments.benchmarks.scrub.program import BENCHMARK

sys.exit(BENCHMARK.main())
