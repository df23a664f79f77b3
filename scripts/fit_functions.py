"""Fit the polynomials of src/distilbert/native/vectors.h, and say how exact they are.

    python scripts/fit_functions.py

Each is the interpolation in Chebyshev's points, written in powers, which is close to the best
polynomial of its degree.
"""

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import erfc


def fit(function, degree, scale=1.0):
    """Return float32 coefficients, ascending, for x in [-scale, scale]."""
    points = np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    series = chebyshev.chebfit(points, function(points * scale), degree)
    return (chebyshev.cheb2poly(series) / scale ** np.arange(degree + 1)).astype(np.float32)


def report(name, coefficients, error):
    print(f"{name}: error {error:.1e}")
    print("    " + ", ".join(f"{c:.8g}" for c in coefficients))


def main():
    half = np.log(2) / 2 * 1.0001
    x = np.linspace(-half, half, 100_001)
    powers = fit(np.exp, 6, half)
    report("exponential", powers, np.abs(polynomial.polyval(x, powers) / np.exp(x) - 1).max())

    reach = 5.5

    def tail(u):
        """What gelu(x) lacks to max(x, 0), for |x| = (u + 1) reach / 2."""
        x = (u + 1) * reach / 2
        return x * 0.5 * erfc(x / np.sqrt(2))

    u = np.linspace(-1, 1, 100_001)
    powers = fit(tail, 16)
    report("gelu", powers, np.abs(polynomial.polyval(u, powers) - tail(u)).max())


if __name__ == "__main__":
    main()
