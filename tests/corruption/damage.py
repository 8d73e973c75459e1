"""Ways in which a file goes wrong: at random, by a mistake, and by somebody who signs it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from expunge.core.errors import DataError
from expunge.core.files import State, load_state, save_state
from expunge.record.settings import FREE

# What no gradient sees, and nothing else that is there: times, counts of work, what was measured before, what
# a model is called, a bound that is looser than it was; settings of what is yet to be done.
_UNSEEN = """
seconds_fit drift solve_error spectral shift passes test_accuracy_before every settings notice lineage
n_iter feature_names measured of beta
"""
# What is kept to solve with need not be exact.
_SEEN = "weight perturbation removed_rows drawn gradient curvature third step erased_rows"

Rng = np.random.Generator


def flipped(content: bytes, rng: Rng) -> bytes:
    """One bit is another; in half of the cases in the first kilobyte, where headers are."""
    if not content:
        return b"\0"
    end = min(len(content), 1024) if rng.random() < 0.5 else len(content)
    at = int(rng.integers(end))
    return content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]


def cut(content: bytes, rng: Rng) -> bytes:
    """The end is missing, or all of it."""
    return content[: int(rng.integers(len(content) + 1)) if rng.random() < 0.8 else 0]


def zeroed(content: bytes, rng: Rng) -> bytes:
    """A block is zero, as where a page was never written."""
    at, size = int(rng.integers(max(1, len(content)))), int(rng.integers(1, 512))
    return content[:at] + bytes(min(size, len(content) - at)) + content[at + size :]


def appended(content: bytes, rng: Rng) -> bytes:
    """Something follows: other bytes, or a part of itself."""
    own = content[-int(rng.integers(1, 300)) :]
    return content + (own if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 64))))


def unsigned(content: bytes, rng: Rng) -> bytes:
    """A bit of the word that says where the digest is."""
    at = content.find(b'"sha256":"')
    if at < 0:
        return flipped(content, rng)
    at += 1 + int(rng.integers(6))
    return content[:at] + bytes([content[at] ^ 1 << int(rng.integers(3))]) + content[at + 1 :]


def edited_text(content: bytes, rng: Rng) -> bytes:
    """A value of JSON lines, of JSON or of YAML is another, or lines are."""
    text = content.decode(errors="replace")
    lines = text.splitlines()
    how = rng.random()
    if how < 0.3 and len(lines) > 1:
        one, two = sorted(rng.choice(len(lines), 2, replace=False).tolist())
        kept = [lines[:one] + lines[one + 1 :], lines[: one + 1] + lines[one:]]
        lines[one], lines[two] = lines[two], lines[one]
        return ("\n".join([lines, *kept][int(rng.integers(3))]) + "\n").encode()
    for load, dump in ((json.loads, json.dumps), (yaml.safe_load, yaml.safe_dump)):
        at = (
            int(rng.integers(len(lines)))
            if text.startswith("{") and len(lines) and lines[0].endswith("}")
            else None
        )
        try:
            value = load(text if at is None else lines[at])
        except ValueError:
            continue
        except yaml.YAMLError:
            break
        if not isinstance(value, dict):
            break
        changed = dump(edited(value, rng, ()))
        if at is None:
            return changed.encode()
        return ("\n".join([*lines[:at], changed, *lines[at + 1 :]]) + "\n").encode()
    return flipped(content, rng)


def edited(value: Any, rng: Rng, keep: tuple[str, ...]) -> Any:
    """A copy in which one number, word or entry is another; nothing under the keys ``keep``."""
    value = json.loads(json.dumps(value, default=str))
    places = list(_places(value, keep))
    if not places:
        return value
    holder, key = places[int(rng.integers(len(places)))]
    old = holder[key]
    if rng.random() < 0.15:
        del holder[key]
        return value
    if rng.random() < 0.2:
        holder[key] = [None, "x", [1], {}, -1, 2**70, 1e308][int(rng.integers(7))]
        return value
    if isinstance(old, bool):
        holder[key] = not old
    elif isinstance(old, int):
        holder[key] = old + int(rng.choice([-1, 1, 7]))
    elif isinstance(old, float):
        holder[key] = float(rng.choice([0.5, 2.0, -1.0])) * old
    else:
        holder[key] = f"{old}x"
    return value


def _places(value: Any, keep: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        if key in keep:
            continue
        if isinstance(inner, (dict, list)) and inner:
            yield from _places(inner, keep)
        else:
            yield value, key


def signed_again(path: Path, rng: Rng) -> None:
    """A value in the header is another, and the digest is that of what is there."""
    state = load_state(path)
    keep = {*_UNSEEN.split()} - ({"settings"} if "run" in state.values else set())  # a run's are compared
    save_state(path, State(state.arrays, edited(state.values, rng, (*keep, *FREE))))


def forms_again(path: Path, rng: Rng) -> None:
    """An array is missing, or has another form or no numbers, and the digest is that of what is there."""
    arrays_again(path, rng, forms=True)


def arrays_again(path: Path, rng: Rng, forms: bool = False) -> None:
    """An array that a certificate rests on is another, and the digest is that of what is there."""
    state = load_state(path)
    seen = [n for n in sorted(state.arrays) if state.arrays[n].size]
    names = [n for n in seen if forms or n.rsplit(".")[-1] in _SEEN.split()]
    name = names[int(rng.integers(len(names)))]
    old = state.arrays[name]
    # noise may have been any noise, and a network any network
    how = int(rng.integers(5 if forms or name == "drawn" or path.suffix == ".last" else 7))
    if how == 0:
        del state.arrays[name]
    elif how == 1:
        state.arrays[name] = old.astype(np.float32 if old.dtype == np.float64 else np.int16)
    elif how == 2:
        state.arrays[name] = np.stack([old, old])
    elif how == 3:
        state.arrays[name] = old[:-1]
    elif how == 4:
        state.arrays[name] = np.full_like(old, np.nan if old.dtype.kind == "f" else -1)
    elif how == 5:
        state.arrays[name] = old * 3 + 1
    else:
        flat = old.copy().ravel()
        at = int(np.abs(flat).argmax())
        flat[at] = flat[at] * 1.5 + 2 if flat.dtype.kind == "f" else flat[at] + 1
        state.arrays[name] = flat.reshape(old.shape)
    save_state(path, state)


BYTES: dict[str, Callable[[bytes, Rng], bytes]] = {
    one.__name__: one for one in (flipped, cut, zeroed, appended, unsigned)
}
SIGNED: dict[str, Callable[[Path, Rng], None]] = {
    one.__name__: one for one in (signed_again, arrays_again, forms_again)
}


def damage(folder: Path, name: str, others: list[str], forged: tuple[str, ...], rng: Rng) -> str:
    """Corrupt the file ``name``, and return how; ``forged`` are those of ``SIGNED`` that may be tried."""
    path = folder / name
    text = path.suffix in (".json", ".jsonl", ".yaml", ".sha256")
    ways = [*BYTES, "swapped", "deleted"]
    ways += ["edited_text"] * 4 if text else [*forged] * 2
    how = ways[int(rng.integers(len(ways)))]
    if how in BYTES:
        path.write_bytes(BYTES[how](path.read_bytes(), rng))
    elif how == "edited_text":
        path.write_bytes(edited_text(path.read_bytes(), rng))
    elif how == "deleted":
        path.unlink()
    elif how == "swapped":
        other = others[int(rng.integers(len(others)))] if others else name
        path.write_bytes((folder / other).read_bytes())
        how += f" with {other}"
    else:
        try:
            SIGNED[how](path, rng)
        except DataError:
            path.write_bytes(flipped(path.read_bytes(), rng))
            how = "flipped"
    return how
