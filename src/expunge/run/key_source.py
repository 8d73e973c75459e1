"""What the source says of a setting: its type, its meaning, what is allowed. Nothing of it is imported.

The class that ``_target_`` names is read as text, with those that it is made from: a network's own module
takes seconds to import.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_CHECKS = "expunge.core.checks"
_LINEAR = "expunge.predictors.linear.LinearModel"
"""What takes settings of choices that name no class, and those that an unlearner passes on to its model."""
_RUN = "expunge.run.build"
"""What looks at the keys of no group."""


@dataclass(frozen=True)
class Told:
    """What the source says of a setting.

    Attributes:
        where: The class or function that takes it, by its whole name.
        type: As it is annotated there; empty where it is not.
        meaning: From its docstring.
        allowed: In words, as a complaint would have it.
    """

    where: str
    type: str = ""
    meaning: str = ""
    allowed: str = ""


def told(name: str, target: str | None) -> Told | None:
    """What takes the setting ``name`` of a choice that names ``target``, or none where nobody is found.

    ``target`` is empty where the choice names no class, and None for a key of no group.
    """
    if target is None:
        allowed = _allowed(name, [_RUN])
        return Told(_RUN, allowed=allowed) if allowed else None
    last = name.rpartition(".")[2]
    for path in dict.fromkeys((target or _LINEAR, _LINEAR)):
        lines = list(_line(path))
        modules = list(dict.fromkeys(module for module, _ in lines))
        for module, node in lines:
            if (argument := _argument(node, last)) is None:
                continue
            type_ = ast.unparse(argument.annotation) if argument.annotation is not None else ""
            meaning = next((words for _, one in lines if (words := _documented(one, last))), "")
            where = f"{module}.{node.name}"
            return Told(where, type_, meaning, _allowed(last, [module, *modules]))
    return None


Definition = ast.ClassDef | ast.FunctionDef


def _line(path: str, seen: int = 0) -> Iterator[tuple[str, Definition]]:
    """A class or function, and the classes of ours that it is made from, each with its module."""
    module, _, name = path.rpartition(".")
    tree = _tree(module)
    node = next((one for one in tree.body if isinstance(one, Definition) and one.name == name), None)
    if node is None:
        if (elsewhere := _imported(tree).get(name)) and elsewhere != path and seen < 20:
            yield from _line(elsewhere, seen + 1)
        return
    yield module, node
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        if isinstance(base, ast.Name) and seen < 20:
            yield from _line(_imported(tree).get(base.id, f"{module}.{base.id}"), seen + 1)


@cache
def _tree(module: str) -> ast.Module:
    parts = module.split(".")[1:] if module.split(".")[0] == "expunge" else None
    place = _PACKAGE.joinpath(*parts) if parts else None
    for file in (place.with_suffix(".py"), place / "__init__.py") if place else ():
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return ast.Module([], [])


def _imported(tree: ast.Module) -> dict[str, str]:
    found = [one for one in tree.body if isinstance(one, ast.ImportFrom) and not one.level]
    return {alias.asname or alias.name: f"{one.module}.{alias.name}" for one in found for alias in one.names}


def _argument(node: Definition, name: str) -> ast.arg | None:
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    if isinstance(node, ast.FunctionDef):
        functions = [node]
    taken = [arg for one in functions for arg in (*one.args.args, *one.args.kwonlyargs) if arg.arg == name]
    annotated = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    fields = [(one.target.id, one.annotation) for one in annotated if isinstance(one.target, ast.Name)]
    of_class = [ast.arg(*field) for field in fields if isinstance(node, ast.ClassDef) and field[0] == name]
    return next(iter([*taken, *of_class]), None)


def _documented(node: Definition, name: str) -> str:
    """The lines of ``Args:``, or of ``Attributes:``, that are of the argument, in one."""
    found = re.search(
        rf"^ *{re.escape(name)}(?: \([^)]*\))?: (.*(?:\n {{8,}}\S.*)*)", ast.get_docstring(node) or "", re.M
    )
    return " ".join(found[1].split()).replace("``", "") if found else ""


def _allowed(name: str, modules: list[str]) -> str:
    """What the checks of an argument let pass, in the words of the checks."""
    for module in dict.fromkeys(modules):
        for node in ast.walk(_tree(module)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            first = node.args[0]
            named = isinstance(first, ast.Constant) and first.value == name
            if named and (words := _in_words(node.func.id, node.args[1:], module)):
                return words
    return ""


def _in_words(check: str, given: list[ast.expr], module: str) -> str:
    if check == "require_choice" and len(given) > 1:
        return " or ".join(_names(given[1], module))
    if check == "require_count":
        bounds = [str(one.value) for one in given[1:] if isinstance(one, ast.Constant)]
        least = bounds[0] if bounds else 1
        return f"a whole number from {least} to {bounds[1]}" if bounds[1:] else f"a whole number >= {least}"
    functions = {one.name: one for one in _tree(_CHECKS).body if isinstance(one, ast.FunctionDef)}
    said = " ".join((ast.get_docstring(functions[check]) or "").split()) if check in functions else ""
    found = re.search(r" unless (?:it is |value is )?(.+?)\.(?= |$)", said)
    words = found[1].replace("``", "") if found else ""
    return words.replace(" < below, <= most", "")


def _names(given: ast.expr, module: str, seen: int = 0) -> list[str]:
    """The texts in a tuple, in a table's keys, or in the constant of this name."""
    if isinstance(given, (ast.Tuple, ast.List)):
        return [str(one.value) for one in given.elts if isinstance(one, ast.Constant)]
    if isinstance(given, ast.Dict):
        return [str(one.value) for one in given.keys if isinstance(one, ast.Constant)]
    if not isinstance(given, ast.Name) or seen > 5:
        return []
    tree = _tree(module)
    for one in tree.body:
        if not isinstance(one, (ast.Assign, ast.AnnAssign)) or one.value is None:
            continue
        targets = one.targets if isinstance(one, ast.Assign) else [one.target]
        if any(isinstance(target, ast.Name) and target.id == given.id for target in targets):
            return _names(one.value, module, seen + 1)
    elsewhere, _, name = _imported(tree).get(given.id, "").rpartition(".")
    return _names(ast.Name(name), elsewhere, seen + 1) if elsewhere else []
