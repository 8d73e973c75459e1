"""Privacy accounting of DP-SGD against published numbers, exact values and oracles; and the command."""

import subprocess
import sys
import warnings
from dataclasses import replace
from math import inf, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant
from rich.cells import cell_len

from expunge.core.errors import InvalidValue
from expunge.extractors.accounting import ACCOUNTANTS, PRV_ERROR, Accounting
from expunge.report import app
from tests.oracles import accounting as oracle

SVHN = Accounting(rows=604_388, batch_size=500, delta=1e-5)  # Guo et al., ICML 2020: train and extra
OPACUS = [*range(2, 11), *range(12, 64)]  # the whole ones of its orders


def sampled(q, delta, accountant="rdp", of=10_000):
    return Accounting(of, round(q * of), delta, accountant=accountant)


# -- epsilon ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accountant", "published"), [("rdp", 0.118), ("prv", 0.074)])
def test_published_svhn_recipe(accountant, published):
    accounting = replace(SVHN, accountant=accountant)
    assert accounting.steps_per_epoch == 1209
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert accounting.epsilon(6, 20 * accounting.steps_per_epoch) == pytest.approx(published, abs=5e-4)


def test_wide_orders_tighten_the_published_recipe():
    """Opacus's last order, 63, is the best of its list; the best of all is near 165."""
    wide = replace(SVHN, accountant="rdp_wide").epsilon(6, 24_180)
    expected, order = oracle.renyi_epsilon(500 / 604_388, 6.0, 24_180, 1e-5, range(2, 400))
    assert 100 < order < 300
    assert expected * (1 - 1e-9) <= wide <= expected * 1.001 < SVHN.epsilon(6, 24_180) * 0.65


@pytest.mark.parametrize("q", [0.001, 0.01, 0.2, 0.8, 1.0])
@pytest.mark.parametrize(("sigma", "steps"), [(0.7, 3), (1.0, 100), (4.0, 1000), (30.0, 50)])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_rdp_is_the_binomial_formula(q, sigma, steps, delta):
    """Equal where a whole order is the best; where it is not, the orders between can only help."""
    ours = sampled(q, delta).epsilon(sigma, steps)
    expected, order = oracle.renyi_epsilon(q, sigma, steps, delta, OPACUS)
    if order > 12:
        assert ours == pytest.approx(expected, rel=1e-9)
    assert expected * 0.6 <= ours <= expected * (1 + 1e-9)


@settings(max_examples=12, deadline=None)
@given(
    st.one_of(st.floats(1e-3, 0.2), st.floats(0.8, 1)),
    st.floats(0.3, 30),
    st.integers(1, 5000),
    st.floats(1e-9, 0.1),
)
def test_rdp_is_that_of_all_of_opacus_orders(q, sigma, steps, delta):
    """We try the fractional orders next to the best whole one only."""
    accounting = sampled(q, delta)
    accountant = RDPAccountant()
    accountant.history = [(sigma, accounting.batch_size / accounting.rows, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = max(accountant.get_epsilon(delta), 0)
    assert accounting.epsilon(sigma, steps) == pytest.approx(expected, rel=1e-12)
    assert replace(accounting, accountant="rdp_wide").epsilon(sigma, steps) <= expected * (1 + 1e-12)


@pytest.mark.parametrize(("sigma", "passes"), [(0.8, 1), (2.0, 3), (6.0, 20), (50.0, 100)])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8])
def test_fixed_batches_against_the_exact_gaussian(sigma, passes, delta):
    exact = oracle.gaussian_epsilon(sqrt(passes) / sigma, delta)
    fixed = Accounting(1001, 100, delta, "fixed")
    for accountant in ("rdp", "rdp_wide"):
        assert (
            exact <= replace(fixed, accountant=accountant).epsilon(sigma, passes * 11) <= 1.25 * exact + 0.05
        )
    assert exact <= replace(fixed, accountant="prv").epsilon(sigma, passes * 11) <= exact + 2 * PRV_ERROR


@pytest.mark.parametrize(("q", "sigma"), [(0.01, 0.5), (0.1, 1.0), (0.2, 3.0), (0.9, 2.0)])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_sampled_epsilon_against_the_exact_profile(q, sigma, steps, delta):
    exact = {1: oracle.profile, 2: oracle.profile_of_two}[steps]
    prv = sampled(q, delta, "prv").epsilon(sigma, steps)
    assert exact(q, sigma, prv) <= delta <= exact(q, sigma, prv - 2 * PRV_ERROR)
    assert exact(q, sigma, sampled(q, delta, "rdp_wide").epsilon(sigma, steps)) <= delta


def test_fixed_batches_count_passes():
    """A row is in one batch of a pass, so that a pass begun costs as much as a whole one."""
    fixed = Accounting(1000, 300, 1e-5, "fixed")
    assert fixed.steps_per_epoch == 4
    assert fixed.epsilon(3, 5) == fixed.epsilon(3, 8) < fixed.epsilon(3, 9)
    assert fixed.epsilon(3, 4) == Accounting(7, 7, 1e-5).epsilon(3, 1)


@pytest.mark.parametrize("accountant", ACCOUNTANTS)
@pytest.mark.parametrize("sampling", ["poisson", "fixed"])
def test_ends(accountant, sampling):
    accounting = Accounting(1000, 10, 1e-5, sampling, accountant)
    assert accounting.epsilon(0, 10) == inf
    assert accounting.epsilon(1e300, 10) <= accounting.epsilon(1e3, 10) < inf
    assert (
        accounting.epsilon(1.0, 0) == accounting.epsilon(0, 0) == accounting.noise_multiplier(1.0, 0) == 0.0
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_more_of_what_costs_privacy_costs_more(data):
    """Steps, batch size, little noise and a small delta, by either sampling."""
    sampling = data.draw(st.sampled_from(["poisson", "fixed"]))
    few, many = sorted(data.draw(st.tuples(*[st.integers(1, 3000)] * 2)))
    quiet, loud = sorted(data.draw(st.tuples(*[st.floats(0.4, 40)] * 2)))
    strict, lax = sorted(data.draw(st.tuples(*[st.floats(1e-9, 0.1)] * 2)))
    small, large = sorted(data.draw(st.tuples(*[st.integers(1, 300)] * 2)))
    most = Accounting(1000, large, strict, sampling).epsilon(quiet, many) * (1 + 1e-9)
    assert Accounting(1000, large, strict, sampling).epsilon(quiet, few) <= most
    assert Accounting(1000, large, strict, sampling).epsilon(loud, many) <= most
    assert Accounting(1000, large, lax, sampling).epsilon(quiet, many) <= most
    assert Accounting(1000, small, strict, "poisson").epsilon(quiet, many) <= most or sampling == "fixed"


# -- the noise for an epsilon ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.3, 2.0, 40.0])
@pytest.mark.parametrize(
    ("accountant", "sampling"), [("rdp", "poisson"), ("rdp_wide", "fixed"), ("prv", "fixed")]
)
def test_noise_keeps_to_the_target_and_no_less_would(target, accountant, sampling):
    accounting = Accounting(6000, 300, 1e-5, sampling, accountant)
    noise = accounting.noise_multiplier(target, 60)
    assert 0.99 * target <= accounting.epsilon(noise, 60) <= target < accounting.epsilon(noise * 0.998, 60)


def test_prv_needs_less_noise():
    prv = replace(SVHN, accountant="prv", rows=60_000)
    noise = prv.noise_multiplier(1.0, 60)
    assert 0.99 <= prv.epsilon(noise, 60) <= 1.0
    assert noise < 0.9 * replace(prv, accountant="rdp").noise_multiplier(1.0, 60)


@pytest.mark.parametrize(("accountant", "target"), [("rdp", 0.05), ("rdp_wide", 1e-3), ("prv", 1e-3)])
def test_a_target_that_no_noise_meets(accountant, target):
    accounting = replace(SVHN, accountant=accountant)
    with pytest.raises(InvalidValue, match=r"at least .* whatever the noise") as error:
        accounting.noise_multiplier(target, 24_180)
    assert error.value.name == "target_epsilon"
    assert "\n" not in str(error.value)
    if accountant == "rdp":
        said = float(str(error.value).split("at least ")[1].split(",")[0])
        assert accounting.epsilon(accounting.noise_multiplier(said, 24_180), 24_180) <= said < 0.104


# -- what cannot be used ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        *({"rows": bad} for bad in (0, -5, 2.5, True, 10**13)),
        *({"batch_size": bad} for bad in (0, 604_389, "500")),
        *({"delta": bad} for bad in (0, 1, -1e-5, float("nan"), "1e-5")),
        *({"sampling": bad} for bad in ("shuffle", None)),
        *({"accountant": bad} for bad in ("gdp", "")),
    ],
    ids=str,
)
def test_bad_fields_are_named(change):
    with pytest.raises(InvalidValue) as error:
        replace(SVHN, **change)
    assert error.value.name == next(iter(change))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        *(
            ("noise_multiplier", lambda bad=bad: SVHN.epsilon(bad, 5))
            for bad in (-1, inf, float("nan"), "6", True)
        ),
        *(("steps", lambda bad=bad: SVHN.epsilon(6, bad)) for bad in (-1, 2.5, 10**10)),
        *(("target_epsilon", lambda bad=bad: SVHN.noise_multiplier(bad, 5)) for bad in (0, -1, inf, "1")),
        ("steps", lambda: SVHN.noise_multiplier(1.0, -1)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(InvalidValue) as error:
        call()
    assert error.value.name == name


@pytest.mark.parametrize(
    ("why", "accounting", "noise", "steps"),
    [
        ("points", Accounting(100, 100, 0.02), 2.1, 7604),
        ("rounding", Accounting(100, 100, 1e-12), 6.0, 1000),
        ("it says -0.06", Accounting(100_000, 162, 0.07), 0.575, 102),
        ("points", Accounting(100, 100, 1e-320), 6.0, 10),
    ],
    ids=["memory", "rounding", "negative", "delta"],
)
def test_prv_says_where_it_fails(why, accounting, noise, steps):
    with pytest.raises(
        InvalidValue, match=rf"^accountant: got 'prv', allowed: rdp .* fails \(.*{why}"
    ) as error:
        replace(accounting, accountant="prv").epsilon(noise, steps)
    assert "\n" not in str(error.value)
    assert accounting.epsilon(noise, steps) >= 0


# -- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def report(capsys, monkeypatch, tmp_path):
    """Run ``expunge-report`` in an empty folder, with no data anywhere: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)

    def run(*arguments):
        try:
            code = app.main(arguments)
        except SystemExit as end:
            code = end.code
        assert not list(tmp_path.iterdir())
        return code, *capsys.readouterr()

    return run


def values(table):
    """The table's second column by its first."""
    cells = [[cell for cell in line.split("  ") if cell] for line in table.splitlines()]
    return {row[0].strip(): row[1].strip() for row in cells if len(row) > 1}


def test_the_published_table(report):
    code, out, err = report("--privacy")
    assert (code, err) == (0, "")
    assert values(out) == {
        "rows": "604,388",
        "batch size": "500",
        "epochs": "20",
        "steps": "24,180",
        "noise multiplier": "6",
        "delta": "1e-5",
        "sampling": "poisson",
        "ε by RDP": "0.118",
        "ε by RDP, wide": "0.0716",
        "ε by PRV": "0.074",
    }
    words = " ".join(out.split())
    assert "no amplification by sampling" in words
    assert "ε ≤ 3.38 by RDP for 20 passes" in words


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_the_table_fits_the_screen(report, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = report("--privacy")
    assert max(map(cell_len, out.splitlines())) <= columns
    words = " ".join(out.split())
    assert "sampling poisson each row by itself, with probability 500 / 604,388" in words
    assert "noise multiplier 6 standard deviation of the noise over the clipping norm" in words


def test_options_change_the_recipe(report):
    typed = "--rows 5000 --batch-size 100 --epochs 3 --noise-multiplier 2 --delta 1e-4 --sampling fixed"
    code, out, _ = report("--privacy", *typed.split())
    assert code == 0
    table = values(out)
    assert (table["rows"], table["steps"], table["sampling"]) == ("5,000", "150", "fixed")
    assert float(table["ε by RDP"]) == pytest.approx(
        Accounting(5000, 100, 1e-4, "fixed").epsilon(2, 150), rel=5e-3
    )
    assert "Guo" not in out
    assert "no amplification by sampling" in " ".join(out.split())


def test_a_target_gives_the_noise(report):
    typed = "--privacy --rows 60000 --batch-size 256 --epochs 10 --target-epsilon 2"
    code, out, _ = report(*typed.split())
    assert code == 0
    assert float(values(out)["ε by RDP"]) == pytest.approx(2, rel=5e-3)
    noise = Accounting(60_000, 256, 1e-5).noise_multiplier(2, 2350)
    assert float(values(out)["noise multiplier"]) == pytest.approx(noise, rel=1e-3)


def test_where_prv_fails_the_table_says_why(report):
    code, out, _ = report("--privacy", "--delta", "1e-13")
    assert code == 0
    assert values(out)["ε by PRV"] == "–"
    assert "delta=1e-13 is below the rounding errors" in " ".join(out.split())


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--privacy --rows many", "--rows: got 'many', allowed: a whole number"),
        ("--privacy --rows 10", "--batch-size: got 500, allowed: at most the number of rows, 10"),
        ("--privacy --epochs 0", "--epochs: got 0, allowed: a whole number >= 1"),
        ("--privacy --delta 2", "--delta: got 2.0, allowed: a number strictly between 0 and 1"),
        ("--privacy --noise-multiplier -1", "--noise-multiplier: got -1.0, allowed: a finite number >= 0"),
        ("--privacy --sampling x", "--sampling: got 'x', allowed: one of poisson, fixed"),
        (
            "--privacy --target-epsilon 1 --accountant x",
            "--accountant: got 'x', allowed: one of rdp, rdp_wide, prv",
        ),
        ("--privacy --target-epsilon 0", "--target-epsilon: got 0.0, allowed: a finite number > 0"),
        ("--privacy --target-epsilon 1 --noise-multiplier 2", "--target-epsilon: "),
        ("--privacy --target-epsilon 0.01", "--target-epsilon: got 0.01, allowed: at least 0.103"),
        ("--privacy --accountant prv", "--accountant: only with --target-epsilon"),
        ("--privacy --epochs 999999999", "steps: got "),
        ("--privacy --out here", "--out: only with a FOLDER"),
        ("--batch-size 5", "--batch-size: only with --privacy"),
        ("--batch-size 5 runs", "--batch-size: only with --privacy"),
    ],
)
def test_errors_are_one_line(report, typed, line):
    code, out, err = report(*typed.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"expunge-report: {line}")


def test_folders_are_optional_with_privacy_only(report):
    code, out, err = report()
    assert (code, out) == (2, "")
    assert err.endswith("expunge-report: the following arguments are required: FOLDER (see --help)\n")
    code, out, err = report("--privacy", "absent")
    assert code == 2
    assert values(out)["ε by RDP"] == "0.118"
    assert "absent" in err


def test_help_teaches_it(report):
    code, out, _ = report("--help")
    assert code == 0
    assert "expunge-report --privacy --rows" in out


def test_reports_of_runs_do_without_torch():
    code = "import sys, expunge.report.app, expunge.extractors.accounting; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
