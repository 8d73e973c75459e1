"""Text in LaTeX, in which another's words are words and no command."""

from __future__ import annotations

import unicodedata

_CHARACTERS = {
    **{character: f"\\{character}" for character in "_%&#${}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$", '"': "''", "`": r"\`{}", "-": "{-}"},
    **{"[": "{[}", "]": "{]}", "*": "{*}"},  # which mean something after the end of a row
    **{"ε": r"$\varepsilon$", "δ": r"$\delta$", "λ": r"$\lambda$", "σ": r"$\sigma$", "µ": r"$\mu$"},
    **{"μ": r"$\mu$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$", "×": r"$\times$"},
    **{"±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "∞": r"$\infty$", "·": r"$\cdot$", "−": "$-$"},
    **{"†": r"$\dagger$", "–": "--", "—": "---", "…": r"\ldots{}", "\u00a0": "~", "°": r"$^\circ$"},
    **{"ß": r"{\ss}", "ø": r"{\o}", "Ø": r"{\O}", "æ": r"{\ae}", "Æ": r"{\AE}", "ł": r"{\l}", "Ł": r"{\L}"},
    **{"\t": " ", "\n": " ", "‘": "`", "’": "'", "“": "``", "”": "''"},
}
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u"},
    **{"\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"},
}


def escaped(words: str) -> str:
    """Return ASCII that LaTeX sets as these words; a character that it may not know as its code point."""
    return "".join(map(_one, words))


def _one(character: str) -> str:
    if character in _CHARACTERS:
        return _CHARACTERS[character]
    if character.isascii():
        return character if character.isprintable() else "?"
    base, mark = unicodedata.normalize("NFD", character)[:1], unicodedata.normalize("NFD", character)[1:]
    if mark in _ACCENTS and base.isascii() and base.isalpha():
        return f"\\{_ACCENTS[mark]}{{{base}}}"
    return f"U+{ord(character):04X}"
