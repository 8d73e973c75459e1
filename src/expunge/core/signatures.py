"""What a constructor takes that hands the rest of its arguments to another's."""

from __future__ import annotations

from inspect import Parameter, Signature, signature


def every_setting(cls: type) -> Signature:
    """The constructor's own arguments, and by name those of the class that it hands ``**settings`` to.

    That is the first base class that ``cls`` names.
    """
    own = {name: p for name, p in signature(cls.__init__).parameters.items() if name != "self"}  # type: ignore[misc]
    if all(p.kind is not Parameter.VAR_KEYWORD for p in own.values()):
        return Signature(list(own.values()))
    passed = {name: p for name, p in own.items() if p.kind is not Parameter.VAR_KEYWORD}
    inherited = signature(cls.__mro__[1]).parameters
    rest = [p.replace(kind=Parameter.KEYWORD_ONLY) for name, p in inherited.items() if name not in passed]
    return Signature([*passed.values(), *rest])
