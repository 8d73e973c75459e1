"""The tests that depend on the version of Python most, with each version that is promised.

``pipx run nox`` runs them with every Python that it finds, and says which it does not find. ``-s tests-3.12``
runs one, ``-r`` leaves what is installed as it is, and what stands after ``--`` is for pytest: tests, ``-k``.
"""

import nox

# Those of pyproject.toml, and of the workflow: tests/test_versions.py compares them.
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
TESTS = (
    "tests/certificate",
    "tests/codec",
    "tests/core",
    "tests/linear",
    "tests/metrics",
    "tests/record",
    "tests/run",
    "tests/unlearners",
    "tests/test_app.py",
    "tests/test_estimator.py",
)

nox.needs_version = ">=2025.11.12"
# What is not here is skipped, with a line: neither fetched, nor an error just because CI is set.
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Install the package and all that its tests compare it with, as bound in constraints.txt; run them."""
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    chosen = session.posargs or TESTS
    session.run("python", "-m", "pytest", "-n", "auto", *chosen, env={"OMP_NUM_THREADS": "1"})
