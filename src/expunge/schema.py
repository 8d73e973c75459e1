"""``expunge --schema``: a JSON schema of the YAML files of experiments, by which editors complete and check.

Draft 2020-12. Keys, choices and descriptions are those of ``--help KEY``: from the comments of the YAML, and
from the source. A type is said where the source annotates it and every default that we ship is of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from expunge.help import choices
from expunge.help_keys import choices_of, meaning_of, target_of
from expunge.run.key_comments import Choice, choice
from expunge.run.key_source import told

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "None": "null"}
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
"""To another key, as OmegaConf has it."""
_OPEN = ("study", "hydra")  # what they hold is known to a study and to Hydra
_PREFIXES = ("override /", "/", "override ", "")

Schema = dict[str, Any]


def schema_text(folders: Sequence[Path]) -> str:
    """The schema, as JSON; ``folders`` hold groups of YAML files, ours first."""
    return json.dumps(schema(folders), indent=2, ensure_ascii=False)


def schema(folders: Sequence[Path]) -> Schema:
    """The schema of an experiment: defaults, keys of every group and of none, what a rehearsal replaces."""
    known = choices(folders)
    groups = {name: of for name, of in known.items() if name.partition("/")[0] not in ("experiment", "hydra")}
    leaves = _leaves(groups, folders)
    tree: Schema = {"properties": {}}
    for key, leaf in leaves.items():
        _insert(tree, key.split("."), leaf)
    for group, names in groups.items():
        found = tree["properties"].setdefault(group, _mapping())
        found["description"] = f"{group}: {', '.join(names)}"
    own = {name: {"type": "object"} for name in _OPEN}
    return {
        "$schema": _DRAFT,
        "title": "expunge: an experiment",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "defaults": _defaults(groups),
            **tree["properties"],
            **own,
            "reduced": _reduced(groups, leaves),
        },
    }


def _leaves(groups: dict[str, list[str]], folders: Sequence[Path]) -> dict[str, Schema]:
    """Dotted key -> what is known of it, of all choices together."""
    found: dict[str, list[tuple[Schema, str]]] = {}
    for group in ("", *groups):
        of = choices_of(group, folders) if group else {"": choice(folders[0] / "config.yaml", "")}
        for name, one in of.items():
            for key in one.keys:
                if not key.name.startswith("hydra."):
                    found.setdefault(key.name, []).append(
                        (_leaf(key.name, group, name, of, folders), key.value)
                    )
    return {key: _together(several) for key, several in sorted(found.items())}


def _leaf(key: str, group: str, name: str, of: dict[str, Choice], folders: Sequence[Path]) -> Schema:
    inside = key.startswith(f"{group}.")
    said = (
        told(key.removeprefix(f"{group}."), target_of(folders, group, name, of))
        if inside or not group
        else None
    )
    meaning = meaning_of(of, name, key) or (said.meaning if said else "")
    words = [meaning, f"Allowed: {said.allowed}" if said and said.allowed else ""]
    kinds = _kinds(said.type) if said else None
    leaf: Schema = {"description": ". ".join(filter(None, words))} if any(words) else {}
    if kinds and "string" not in kinds:
        return leaf | {"anyOf": [{"type": kinds}, _REFERENCE]}
    return leaf | ({"anyOf": [{"type": kinds}]} if kinds else {})


def _kinds(annotation: str) -> list[str] | None:
    """The types of JSON of an annotation, where it is made of plain ones alone."""
    parts = [part.strip() for part in annotation.split("|")]
    return sorted(_TYPES[part] for part in parts) if all(part in _TYPES for part in parts) else None


def _together(several: Sequence[tuple[Schema, str]]) -> Schema:
    """What holds in every choice: the first description, a type if all say the same and values fit."""
    described = next((leaf["description"] for leaf, _ in several if "description" in leaf), None)
    found: Schema = {} if described is None else {"description": described}
    kinds = several[0][0].get("anyOf")
    same = kinds is not None and all(leaf.get("anyOf") == kinds for leaf, _ in several)
    if kinds is not None and same and all(_fits(value, kinds[0]["type"]) for _, value in several):
        found["anyOf"] = kinds
    return found


def _fits(written: str, kinds: Sequence[str]) -> bool:
    """Whether a value of YAML, as it is written, is of one of these types."""
    if "${" in written:
        return True
    if written in ("null", "~", ""):
        return "null" in kinds
    if written in ("true", "false"):
        return "boolean" in kinds
    if re.fullmatch(r"[-+]?\d+", written):
        return bool({"integer", "number"} & {*kinds})
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", written):
        return "number" in kinds
    return "string" in kinds and not written.startswith(("[", "{"))


def _mapping() -> Schema:
    """Of keys that are inserted, and of what Hydra makes an object from (``_target_``)."""
    return {
        "type": "object",
        "patternProperties": {"^_": {}},
        "additionalProperties": False,
        "properties": {},
    }


def _insert(node: Schema, path: Sequence[str], leaf: Schema) -> None:
    """Put a leaf in its place; what is a value in one choice and a mapping in another may be either."""
    first, *rest = path
    below = node.setdefault("properties", {})
    if not rest:
        below.setdefault(first, {}).update(leaf)
        return
    inner = below.setdefault(first, _mapping())
    inner.pop("anyOf", None)
    inner.setdefault("properties", {})
    _insert(inner, rest, leaf)


def _chosen(names: Iterable[str]) -> Schema:
    one: Schema = {"enum": [*names, None]}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _defaults(groups: dict[str, list[str]]) -> Schema:
    named = {f"{prefix}{group}": _chosen(names) for group, names in groups.items() for prefix in _PREFIXES}
    override: Schema = {
        "type": "object",
        "properties": named,
        "patternProperties": {"hydra|@": {}},
        "additionalProperties": False,
    }
    about = "What it begins from: /experiment/NAME or /study, _self_, and the choice of each group"
    return {"type": "array", "description": about, "items": {"anyOf": [{"type": "string"}, override]}}


def _reduced(groups: dict[str, list[str]], leaves: dict[str, Schema]) -> Schema:
    """Overrides of a rehearsal: of a key that is swept they are values with commas between them."""
    described = {key: {k: v for k, v in leaf.items() if k == "description"} for key, leaf in leaves.items()}
    return {
        "type": "object",
        "description": "overrides of reduced=true: the same in seconds",
        "properties": {**{group: {} for group in groups}, **described},
        "patternProperties": {r"^(study|hydra)\.|^[+~]|/": {}},
        "additionalProperties": False,
    }
