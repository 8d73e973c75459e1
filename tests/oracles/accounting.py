"""The privacy of Gaussian mechanisms on Poisson samples, straight from the equations."""

from math import exp, expm1, lgamma, log, pi, sqrt

from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import logsumexp, ndtr

from expunge.certificate.guarantee import gaussian_profile


def rdp(q, sigma, alpha):
    """Renyi DP of one step at a whole order (Mironov, Talwar and Zhang 2019, section 3.3).

    log(sum_k C(alpha, k) (1 - q)^(alpha - k) q^k exp((k^2 - k) / (2 sigma^2))) / (alpha - 1)
    """
    if q == 1:
        return alpha / (2 * sigma**2)
    terms = [
        lgamma(alpha + 1) - lgamma(k + 1) - lgamma(alpha - k + 1)
        + (alpha - k) * log(1 - q) + k * log(q) + (k * k - k) / (2 * sigma**2)
        for k in range(alpha + 1)
    ]  # fmt: skip
    return logsumexp(terms) / (alpha - 1)


def renyi_epsilon(q, sigma, steps, delta, orders):
    """(epsilon, order): the best over whole orders (Balle et al. 2020, Theorem 21)."""
    return min(
        (steps * rdp(q, sigma, a) + log(1 - 1 / a) - (log(delta) + log(a)) / (a - 1), a) for a in orders
    )


def gaussian_epsilon(shift, delta):
    """Exact epsilon of the Gaussian mechanism, or of k of them with shift sqrt(k) / sigma."""
    if gaussian_profile(0.0, shift) <= delta:
        return 0.0
    return brentq(lambda e: gaussian_profile(e, shift) - delta, 0, shift**2 / 2 + 40 * shift)


def profile(q, sigma, epsilon):
    """Exact delta of one step that may have used the row, for epsilon of either sign.

    P(x > z) - e^epsilon Q(x > z), with P = (1 - q) N(0, sigma^2) + q N(1, sigma^2), Q = N(0, sigma^2) and z
    where log(P / Q) = epsilon.
    """
    if epsilon <= log(1 - q):
        return -expm1(epsilon)
    z = sigma**2 * log(1 + expm1(epsilon) / q) + 0.5
    with_row, without = ndtr((1 - z) / sigma), ndtr(-z / sigma)
    return (1 - q) * without + q * with_row - exp(epsilon) * without


def profile_of_two(q, sigma, epsilon):
    """Exact delta of two steps: that of the second, averaged over the privacy loss of the first."""

    def integrand(x):
        ratio = 1 - q + q * exp((2 * x - 1) / (2 * sigma**2))
        density = ratio * exp(-((x / sigma) ** 2) / 2) / (sigma * sqrt(2 * pi))
        return density * profile(q, sigma, epsilon - log(ratio))

    return quad(integrand, -12 * sigma, 1 + 12 * sigma, limit=400, epsabs=1e-14, epsrel=1e-9)[0]
