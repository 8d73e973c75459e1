"""``expunge --help``: what can be chosen and what it comes to.

Hydra's own help lists every group of its own too, which takes longer than all else that ``--help`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from expunge.run.config_files import quoted
from expunge.sweep.command import SEARCHPATH, config_folders
from expunge.sweep.flags import parted

_HEADER = """\
expunge: machine unlearning experiments with a certificate for every removal.

Trains a model, serves a stream of removal requests, and leaves removals.jsonl (one line per request),
summary.json, model.safetensors and figures/ in a run folder.

  expunge                                                real MNIST 3 vs 8, certified: noise at release
  expunge unlearner.noise=lattice                        the same, protected: exact noise that no seed draws
  expunge unlearner=newton                               certified removal as published
  expunge +experiment=icml2020/mnist_corrected           the settings of an experiment
  expunge +experiment=icml2020/mnist_grid reduced=true   the same in seconds: a rehearsal, no result
  expunge dataset=mnist model=mlp unlearner=lcodec       a network, and the scrub with our settings
  expunge dataset=mnist extractor=dp                     ten classes, on differentially private features
  expunge -m unlearner.lam=1e-4,1e-3 seed=0,1,2          a grid, under multirun/; repeated, it goes on
  expunge -m unlearner=newton,retrain seeds=5            compared over five seeds, on the same requests
  expunge resume=true hydra.run.dir=FOLDER               continue a run that was interrupted
  expunge resume=auto hydra.run.dir=FOLDER               the same, or begin one where there is none
  expunge resume=checkpoint hydra.run.dir=FOLDER         the same on a processor that rounds otherwise
  expunge --list experiments                             a line for each; so of any group: --list unlearner
  expunge --help unlearner.lam                           what a key means, what is allowed, its defaults
  expunge --schema                                       a JSON schema of experiments, for editors of YAML
  expunge-report FOLDER...                               table, figures and report.html from run folders
  expunge-verify FOLDER                                  every claim of a run checked, by other code
  expunge-audit                                          every certified method, attacked: epsilon at least
  expunge-report --privacy                               what such a training costs, without any data
  expunge-reproduce icml2020                             a paper's tables: published, ours, verdict
"""

_FOOTER = """\
`expunge unlearner=none --help` shows the keys of another choice, `--cfg job` the configuration alone,
`--hydra-help` Hydra's own flags. Bad input ends with one line and exit code 2."""


def composed(config_dir: Path, arguments: Sequence[str]) -> tuple[DictConfig, dict[str, str], list[Path]]:
    """Compose the configuration that a command line comes to.

    Returns:
        The configuration, its choice of each group, and the folders where YAML is.
    """
    flags, overrides = parted(arguments)
    folders = config_folders(config_dir, flags, overrides)
    name = flags.config_name or "config"
    places = [*([Path(flags.config_path).absolute()] if flags.config_path else []), *folders]
    primary = next((folder for folder in places if (folder / f"{name}.yaml").is_file()), config_dir)
    if searched := [quoted(f"file://{folder}") for folder in places if folder != primary]:
        overrides.append(f"{SEARCHPATH}=[{','.join(searched)}]")
    with initialize_config_dir(version_base="1.3", config_dir=str(primary)):
        config = compose(name, overrides=overrides, return_hydra_config=True)
    chosen = {str(group): str(choice) for group, choice in config.hydra.runtime.choices.items()}
    with read_write(config), open_dict(config):
        del config["hydra"]
    return config, chosen, folders


def help_text(config_dir: Path, arguments: Sequence[str]) -> str:
    """The page for a command line, with the configuration that its overrides come to."""
    config, _, folders = composed(config_dir, arguments)
    groups = "\n".join(f"  {group}: {', '.join(names)}" for group, names in choices(folders).items())
    return "\n".join(
        (
            _HEADER,
            "Groups and their choices (group=choice; experiments with a plus: +experiment=...)",
            groups,
            "\nConfiguration (key=value)",
            "".join(f"  {line}\n" for line in OmegaConf.to_yaml(config).splitlines()),
            _FOOTER,
        )
    )


def choices(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Config group -> names of its YAML files."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            found.setdefault(group, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(found.items()) if group != "."}
