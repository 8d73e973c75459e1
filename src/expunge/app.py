"""The command line. Imports what Hydra needs and nothing heavier, so that ``--help`` answers at once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from expunge.complaints import one_line
from expunge.errors import RunFolderError, UserError
from expunge.help import help_text, wants_help
from expunge.ledger import FILE as REMOVALS
from expunge.ledger import RESULTS

log = logging.getLogger(__name__)

BAD_INPUT = 2
RUN_ONLY = ("dataset", "extractor", "model", "training", "unlearner", "removal", "metrics")


def config_dir() -> Path:
    """The YAML that travels in the wheel, or that of the checkout when run from one."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def main() -> None:
    """Run ``expunge``; bad input ends with one line and exit code 2."""
    failed: list[ValueError | OmegaConfBaseException] = []

    def task(config: DictConfig) -> dict[str, Any] | None:
        try:
            return run_job(config)
        except (UserError, OmegaConfBaseException) as error:
            complain(error)
            failed.append(error)
            return None

    # Hydra would print a traceback's worth and exit with 1; like this its exceptions reach us.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        if wants_help(sys.argv[1:]):
            sys.stdout.write(help_text(config_dir(), sys.argv[1:]) + "\n")
            return
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    except (HydraException, OmegaConfBaseException) as error:
        complain(error)
        sys.exit(BAD_INPUT)
    except ValueError as error:
        if "Config group override" not in str(error):
            raise
        complain(f"{error}; to leave a group out, choose 'none'")  # Hydra's own, for group=null
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        complain("interrupted; resume=true continues with the same run folder")
        sys.exit(130)
    if failed:
        sys.exit(BAD_INPUT)


def run_job(config: DictConfig) -> dict[str, Any]:
    """Run one composed configuration in its run folder, then draw its figures and print its row."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    new = not any(folder.iterdir())
    try:
        named = settings_of(config)
        finished = check_folder(folder, named)
        swept = hydra_config.mode is RunMode.MULTIRUN
        if finished:
            log.info("%s is complete; nothing to resume", folder)
            if named["figures"] and not (folder / "figures").exists():
                show(folder, named, quiet=swept)
            return finished
        from expunge.linear.parallel import set_threads

        sweep = Path(hydra_config.sweep.dir).name if swept else None
        choices = {str(k): str(v) for k, v in hydra_config.runtime.choices.items()}
        run = prepare(named, choices, sweep)
        set_threads(named["threads"])
        if not ledger_of(folder):  # a continued run keeps the configuration it began with
            record_config(config, folder)
        summary = run(folder=folder)
        if named["figures"]:
            show(folder, named, quiet=swept)
        return summary
    except (UserError, OmegaConfBaseException):
        # Bad input leaves no trace: Hydra has made the folder, and no request has been served in it.
        ledger = ledger_of(folder)
        if new and not (ledger and ledger.stat().st_size):
            shutil.rmtree(folder)
        raise


def settings_of(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values; a study's must not have groups that mean nothing to it."""
    if is_study(config):
        for group in RUN_ONLY:
            if config.get(group) is not None:
                raise UserError(
                    f"{group}: got a setting, allowed: none, since a study does not use this group"
                )
    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def is_study(settings: Mapping[Any, Any]) -> bool:
    """Whether the configuration is that of a study, which fits and removes nothing."""
    return settings.get("study") is not None


def prepare(
    settings: dict[str, Any], choices: dict[str, str], sweep: str | None
) -> Callable[..., dict[str, Any]]:
    """Build and check the run or the study; what is left to do is to call it with its ``folder``."""
    from expunge.build import build_experiment, build_study

    if is_study(settings):
        from expunge.studies.run import run_study

        study, tracker = build_study(settings)
        seed, progress = settings["seed"], settings["progress"]
        return partial(run_study, study, settings, seed=seed, progress=progress, tracker=tracker, group=sweep)
    from expunge.runner import run

    return partial(run, build_experiment(settings, choices, sweep))


def ledger_of(folder: Path) -> Path | None:
    """The record of the run or study that ``folder`` holds, or None."""
    return next((path for name in (REMOVALS, RESULTS) if (path := folder / name).exists()), None)


def check_folder(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Refuse to write over another run; return the summary if this one is complete already."""
    if not ledger_of(folder):
        return None
    if not settings["resume"]:
        raise RunFolderError(
            f"hydra.run.dir: {folder} already holds a run; "
            "continue it with resume=true or choose another folder"
        )
    from expunge.resume import Checkpoint, must_match

    recorded = folder / ".hydra" / "config.yaml"
    if not recorded.exists():
        raise RunFolderError(f"{recorded}: no such file; without it the run cannot be continued")
    must_match(OmegaConf.to_container(OmegaConf.load(recorded), resolve=True), settings)
    summary = folder / "summary.json"
    if not summary.exists():
        return None
    Checkpoint(folder, settings).done()  # the run may have been killed between its last two files
    return dict(json.loads(summary.read_text()))


def record_config(config: DictConfig, folder: Path) -> None:
    """Write ``.hydra/`` once the run is known to be valid (Hydra itself would write it before)."""
    target = folder / ".hydra"
    target.mkdir(parents=True, exist_ok=True)
    hydra_config = HydraConfig.get()
    parts = {
        "config": config,
        "hydra": OmegaConf.create({"hydra": hydra_config}),
        "overrides": OmegaConf.create(list(hydra_config.overrides.task)),
    }
    for name, part in parts.items():
        (target / f"{name}.yaml").write_text(OmegaConf.to_yaml(part))


def show(folder: Path, settings: dict[str, Any], quiet: bool) -> None:
    """Draw the run's figures and, unless it is one of a sweep, print its table."""
    table = show_study(folder, settings) if is_study(settings) else show_run(folder)
    if not quiet:
        sys.stdout.write(f"{table}\nRun folder: {folder}\n")


def show_run(folder: Path) -> str:
    """Draw the figures of a run and return its table."""
    from expunge.report import read_run, table
    from expunge.report.figures import write_run_figures
    from expunge.report.rows import rows

    finished = read_run(folder)
    write_run_figures(finished, folder / "figures")
    return table.as_text(rows([finished]))


def show_study(folder: Path, settings: dict[str, Any]) -> str:
    """Draw the figures of a study and return its table."""
    from expunge.build import build_study
    from expunge.report.runs import read_study
    from expunge.report.studies import as_text
    from expunge.studies.run import draw_study

    draw_study(build_study(settings)[0], folder)
    return as_text(read_study(folder))


def complain(error: object) -> None:
    """Print one line on standard error."""
    sys.stderr.write(f"expunge: {one_line(error)}\n")


if __name__ == "__main__":
    main()
