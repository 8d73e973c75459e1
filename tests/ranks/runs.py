"""Run as several processes: commands of ``expunge``, one after the other, by the same ranks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from expunge.linear import shared_passes
from expunge.ranked import with_ranks
from tests import cli


def main() -> int | None:
    shared_passes.LEAST_NUMBERS = 0  # on small tables too

    def command() -> int:
        ends = [cli.expunge(*arguments, cwd=Path.cwd()) for arguments in json.loads(sys.argv[1])]
        sys.stderr.write("".join(end.err for end in ends))
        return max(end.code for end in ends)

    return with_ranks(command)


if __name__ == "__main__":
    sys.exit(main())
