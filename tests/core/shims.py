"""File systems that this machine has none of: the C library's ``flock`` as they answer it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int flock(int descriptor, int operation) {
    static int (*real)(int, int);
    const char *how = getenv("SHIM_LOCKS");
    struct stat found;
    if (how && !strcmp(how, "none")) { errno = ENOLCK; return -1; }
    if (how && !strcmp(how, "host")) return 0;
    if (how && !fstat(descriptor, &found) && S_ISDIR(found.st_mode)) { errno = EBADF; return -1; }
    if (!real) real = (int (*)(int, int)) dlsym(RTLD_NEXT, "flock");
    return real(descriptor, operation);
}
"""


def locks(folder: Path, how: str) -> dict[str, str]:
    """The environment of a process on such a file system; without a compiler the test is skipped.

    ``files``: folders cannot be locked; ``none``: nothing can; ``host``: every process has every lock, as on
    a host of its own.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc")
    source, library = folder / "locks.c", folder / "locks.so"
    source.write_text(_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "SHIM_LOCKS": how}
