"""Values that a command line may be given for any key, and which of them nothing may accept."""

from __future__ import annotations

NEVER = (
    *("nan", "inf", "-inf", "NaN", "[nan]", "[inf,1]", "[[nan]]", "{a: nan}", "{a: 1}", "{}"),
    *("???", "${missing}", "${oc.env:NOPE}", "${now:}", "[[[]]]", "[[],[1]]", "${oc.decode:'['}", "[null]"),
    *("${nope:1}", "${unlearner}", "{nan: 1}", "[{a: 1}]", "[1e999]", "1e999", "-1e999"),
)
"""No number, no name, no list: no key of ours takes one (but see ``MAY``)."""
NUMBERS = (
    *("1e308", "-1e308", "1e-320", "0", "-0.0", "-1", ".5", "1.5", "1e20", "2.0", "1e6"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551616", str(10**30), "-" + str(10**30)),
    *("0x10", "1_000", "007", "1e-12", "1e9", "1000000000000", "2147483648", "1" + "0" * 400, "1e-400"),
)
EXTREMES = (
    *(
        "1e308",
        "1e-308",
        "1e-320",
        "1e300",
        "1e-300",
        "1e150",
        "1e-150",
        "1e20",
        "1e-20",
        "1e12",
        "1e-12",
        "1e5",
    ),
    *(
        "0",
        "1",
        "2",
        "0.999999999999999",
        "1e-16",
        "100",
        "1000000000",
        "2147483648",
        "1000000000000",
        "5",
        "30",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "0.5",
        "1e-5",
        "1e3",
        "1e38",
        "1e-45",
    ),
)
"""Numbers that may be right each by itself, and overflow together."""
TEXTS = (
    *("true", "false", "null", "''", "' '", "abc", "[]", "[1,2]", "[a,a]", "[1,1]", "[-1]", "[true]", "[0]"),
    *("'ünï→✗'", "'\\x07'", "'a\tb'", "'a\\nb'", '"it\'s"', "x" * 300, "y" * 5000, "'=1+1'", "'../..'"),
    *("'<b>'", "'%s%n{0}'", "'a/b'", "'.'", "'..'", "'-'", "'--help'", "'\u202eabc'", "'\\ud800'", "'\x7f'"),
)
PATHS = (
    *("missing", "missing/below", "kept", "kept.txt", "kept.txt/below", "/dev/null", "fifo", "loop", "empty"),
    *("rows.npz", "empty.npz", "/", "~", "~nobody/x", "rows.json", "data", "''", "kept.yaml"),
)
ENDLESS = ("/dev/zero",)
"""Where no reader may read to the end."""
TAKEN = ("${seed}", "${hydra:runtime.cwd}", "${now:%Y}", "${oc.env:HOME}", "${oc.select:nope,1}")
"""What comes to a value."""
SWEPT = (
    *("nan,1", "1,nan", "[],1", "null,1", "choice(1,nan)", "choice()", "range(0,1,0)", "range(3)", "1,,2"),
    *(
        "range(1,nan)",
        "choice(a,b",
        "glob(*)",
        "glob(",
        "interval(0,1)",
        "shuffle(1,2)",
        "sort(b,1)",
        "tag()",
    ),
    *(
        "range(0,1e9)",
        "int(abc)",
        "cast",
        "float(x)",
        "choice([],{})",
        "sort(nan,1)",
        "1,1",
        "a,b,",
        "json_str(1",
    ),
)
ALL = (*NEVER, *NUMBERS, *TEXTS, *PATHS, *ENDLESS, *TAKEN)

MAY = {
    "metrics": ("{}",),
    "hydra": NEVER,
}
"""Key, or a group's name -> what it may take all the same."""

SLOW = {
    **dict.fromkeys(("epochs", "max_batches", "replicates"), 3),
    **{
        "n_perturbations": 3000,
        "relearn_max_steps": 100,
        "permutations": 200,
        "draws": 100,
        "p": 10,
        "n": 500,
    },
    **{
        "steps": 30,
        "removals": 100,
        "dim": 30,
        "image_size": 100,
        "convolutions": 5,
        "cameras": 100,
        "pool": 50,
    },
    **{
        "embedding": 1000,
        "hidden": 1000,
        "releases": 10**7,
        "max_units": 100,
        "max_iter": 10**6,
        "filters": 10,
    },
    **{"kernel": 10, "widths": 10, "pairs": 40, "noise-pairs": 40, "minutes": 0.01, "workers": 2, "seeds": 3},
}
"""Last part of a key -> the largest value that a line of less than a second may have: more is slow."""
REFUSED = 10**12
"""Beyond this every count is refused."""


def is_quick(key: str, value: str) -> bool:
    """Whether a value is refused, or done with soon."""
    try:
        number = float(value)
    except ValueError:
        return True
    return not SLOW.get(key.rpartition(".")[2].strip("-"), REFUSED) < number <= REFUSED
