"""The tasks of a job of submitit (``hydra.launcher.tasks_per_node``) as the ranks of its cell."""

from __future__ import annotations

import re
import sys

from expunge.ranks.place import Place

_PORTS = 20_000, 40_000  # the first, and how many: a job takes one by its number, which all of its tasks know


def place_of_task() -> Place | None:
    """The place of this task among those of its job; None elsewhere, and in a job of one."""
    submitit = sys.modules.get("submitit")
    if submitit is None:
        return None
    try:
        job = submitit.JobEnvironment()
    except RuntimeError:  # this process is no task
        return None
    if job.num_tasks == 1:
        return None
    first, count = _PORTS
    port = first + int(re.sub(r"\D", "", job.job_id) or 0) % count
    host = "127.0.0.1" if job.num_nodes == 1 else job.hostnames[0]
    return Place(job.global_rank, job.num_tasks, max(1, job.num_tasks // job.num_nodes), host, port, False)
