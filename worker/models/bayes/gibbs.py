"""Compiled kernels of the Gibbs sampler: one normal draw per user or movie.

Imported by training only; a process that serves never compiles or loads any of this.

Both halves of a sweep are the same computation. A *row* (a user, or a movie) has a few unknowns
``[factors, bias]``, and each of its ratings is a linear measurement of them by a row of the other side's
*design*: ``[s * factors, s, s * bias, 0 ...]`` with ``s`` the square root of the other side's noise
precision. Rows are gathered in blocks that stay in the L1 cache, with ``s * bias`` replaced by the weighted
residual, so that one symmetric product gives the Gram matrix, the right-hand side and the sum of squares
together; the product is kept in registers, eight columns by four rows.

Random numbers are a function of (seed, row) alone, so a sweep does not depend on how rows are divided
among threads.

References
----------
Salakhutdinov, R. and Mnih, A. (2008). Bayesian Probabilistic Matrix Factorization using Markov Chain Monte
Carlo. ICML.
Steele, G., Lea, D. and Flood, C. (2014). Fast Splittable Pseudorandom Number Generators. OOPSLA.
Marsaglia, G. and Tsang, W. (2000). A Simple Method for Generating Gamma Variables. ACM TOMS 26(3).
"""

import math
from typing import Any

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

_BLOCK = 128
"""Ratings gathered at a time."""


@njit(inline="always")
def _next_word(state: NDArray[np.uint64]) -> Any:
    """Advance a splitmix64 state (uint64 array of one) and return 64 random bits."""
    state[0] += uint64(0x9E3779B97F4A7C15)
    word = state[0]
    word = (word ^ (word >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> uint64(27))) * uint64(0x94D049BB133111EB)
    return word ^ (word >> uint64(31))


@njit(inline="always")
def _uniform(state: NDArray[np.uint64]) -> float:
    """Return a number in (0, 1)."""
    return (float(_next_word(state) >> uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(fastmath=True)
def _fill_normal(state: NDArray[np.uint64], out: NDArray[np.float64]) -> None:
    """Fill an array with standard normal numbers, two at a time (Box-Muller)."""
    for i in range(0, len(out), 2):
        radius = math.sqrt(-2.0 * math.log(_uniform(state)))
        angle = 2.0 * math.pi * _uniform(state)
        out[i] = radius * math.cos(angle)
        if i + 1 < len(out):
            out[i + 1] = radius * math.sin(angle)


@njit(fastmath=True)
def _draw_gamma(state: NDArray[np.uint64], pair: NDArray[np.float64], shape: float) -> float:
    """Draw from a gamma distribution of scale 1 and a shape of at least 1."""
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        _fill_normal(state, pair)
        for x in pair:
            v = (1.0 + c * x) ** 3
            if v > 0.0 and math.log(_uniform(state)) < 0.5 * x * x + d - d * v + d * math.log(v):
                return float(d * v)


@njit(fastmath=True)
def _add_products(block: NDArray[np.float32], n: int, gram: NDArray[np.float64]) -> None:
    """Add the lower triangle of ``block[:, :n] @ block[:, :n].T`` to ``gram``.

    Two rows by four are multiplied at a time: eight sums stay in vector registers, and six loads serve
    eight multiplications. Written as plain reductions over contiguous memory, because that is what LLVM
    turns into vector code on any processor.

    Parameters
    ----------
    block : ndarray of float32, shape (padded width, _BLOCK)
        One column per rating.
    n : int
        Columns that are used.
    gram : ndarray of float64, shape (padded width, padded width)
        What is right of the diagonal is partly filled, too.
    """
    for a in range(0, gram.shape[0], 2):
        for b in range(0, a + 1, 4):
            p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = np.float32(0.0)
            for t in range(n):
                p, q = block[a, t], block[a + 1, t]
                x0, x1, x2, x3 = block[b, t], block[b + 1, t], block[b + 2, t], block[b + 3, t]
                p0 += p * x0
                p1 += p * x1
                p2 += p * x2
                p3 += p * x3
                q0 += q * x0
                q1 += q * x1
                q2 += q * x2
                q3 += q * x3
            gram[a, b] += p0
            gram[a, b + 1] += p1
            gram[a, b + 2] += p2
            gram[a, b + 3] += p3
            gram[a + 1, b] += q0
            gram[a + 1, b + 1] += q1
            gram[a + 1, b + 2] += q2
            gram[a + 1, b + 3] += q3


@njit(nogil=True, cache=True, fastmath=True)
def draw_rows(
    first: int,
    last: int,
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    design: NDArray[np.float32],
    prior_mean: NDArray[np.float32],
    prior_precision: NDArray[np.float64],
    noise_shape: float,
    noise_rate: float,
    seed: np.uint64,
    rows: NDArray[np.float32],
    means: NDArray[np.float32],
    row_design: NDArray[np.float32],
    noise: NDArray[np.float32],
    squares: NDArray[np.float64],
) -> None:
    """Draw the unknowns and the noise precision of some rows given the other side.

    Parameters
    ----------
    first, last : int
        Rows ``first:last`` are drawn.
    indptr : ndarray of int64, shape (n_rows + 1,)
        Ratings of row ``i`` are ``indptr[i]:indptr[i + 1]``.
    columns : ndarray of int32, shape (n_ratings,)
        Rows of ``design``.
    values : ndarray of float32, shape (n_ratings,)
        Ratings less the global mean.
    design : ndarray of float32, shape (n_columns, k + 2)
        The other side.
    prior_mean : ndarray of float32, shape (n_rows, k + 1)
        Of factors and bias.
    prior_precision : ndarray of float64, shape (k + 1,)
        Of factors and bias, the same for all rows.
    noise_shape, noise_rate : float
        Gamma prior of a row's noise precision; with ``noise_shape`` 0 precisions stay as they are.
    seed : uint64
        Different for each call.
    rows : ndarray of float32, shape (n_rows, k + 1)
        Written: the draws.
    means : ndarray of float32, shape (n_rows, k + 1)
        Written: the means of the distributions that they were drawn from.
    row_design : ndarray of float32, shape (n_rows, k + 2)
        Written: the draws as the design of the other half of a sweep.
    noise : ndarray of float32, shape (n_rows,)
        Noise precisions, read and replaced.
    squares : ndarray of float64, shape (n_rows,)
        Written: sum of squared residuals, each weighted by the other side's noise precision.
    """
    d = rows.shape[1]
    k = d - 1
    width = k + 2
    padded = -(-width // 4) * 4
    block = np.zeros((padded, _BLOCK), dtype=np.float32)
    gram = np.empty((padded, padded))
    upper = np.empty((d, d))
    solution = np.empty(d)
    normal = np.empty(d)
    pair = np.empty(2)
    state = np.empty(1, dtype=np.uint64)

    for row in range(first, last):
        state[0] = uint64(seed) ^ (uint64(row) * uint64(0xD1342543DE82EF95))
        state[0] = _next_word(state)
        gram[:, :] = 0.0
        start, stop = indptr[row], indptr[row + 1]
        for base in range(start, stop, _BLOCK):
            n = min(_BLOCK, stop - base)
            for t in range(n):
                column = columns[base + t]
                for j in range(width):
                    block[j, t] = design[column, j]
                block[d, t] = block[k, t] * values[base + t] - block[d, t]
            _add_products(block, n, gram)

        # Posterior precision (upper triangle) and its Cholesky factor, in place.
        precision = float(noise[row])
        for i in range(d):
            for j in range(i, d):
                upper[i, j] = precision * gram[j, i]
            upper[i, i] += prior_precision[i]
            solution[i] = precision * gram[d, i] + prior_precision[i] * prior_mean[row, i]
        for j in range(d):
            inverse = 1.0 / math.sqrt(upper[j, j])
            for m in range(j, d):
                upper[j, m] *= inverse
            solution[j] *= inverse
            for i in range(j + 1, d):
                factor = upper[j, i]
                for m in range(i, d):
                    upper[i, m] -= factor * upper[j, m]
                solution[i] -= factor * solution[j]
        _fill_normal(state, normal)
        for j in range(d - 1, -1, -1):
            inverse = 1.0 / upper[j, j]
            for m in range(j + 1, d):
                solution[j] -= upper[j, m] * solution[m]
                normal[j] -= upper[j, m] * normal[m]
            solution[j] *= inverse
            normal[j] *= inverse
            means[row, j] = solution[j]
        for j in range(d):
            solution[j] += normal[j]

        total = float(gram[d, d])
        for i in range(d):
            rows[row, i] = solution[i]
            part = gram[i, i] * solution[i] - 2.0 * gram[d, i]
            for j in range(i):
                part += 2.0 * gram[i, j] * solution[j]
            total += part * solution[i]
        squares[row] = max(total, 0.0)
        if noise_shape > 0.0:
            shape = noise_shape + 0.5 * (stop - start)
            noise[row] = _draw_gamma(state, pair, shape) / (noise_rate + 0.5 * squares[row])
        root = np.float32(math.sqrt(noise[row]))
        for i in range(k):
            row_design[row, i] = root * rows[row, i]
        row_design[row, k] = root
        row_design[row, d] = root * rows[row, k]


@njit(nogil=True, cache=True)
def sum_rows(
    first: int,
    last: int,
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    table: NDArray[np.float32],
    sums: NDArray[np.float32],
) -> None:
    """Sum rows of a table: ``sums[i] = table[columns[indptr[i]:indptr[i + 1]]].sum(axis=0)``.

    Parameters
    ----------
    first, last : int
        Rows ``first:last`` of ``sums`` are written.
    indptr : ndarray of int64, shape (n_rows + 1,)
    columns : ndarray of int32, shape (n_ratings,)
    table : ndarray of float32, shape (n_columns, width)
    sums : ndarray of float32, shape (n_rows, width)
    """
    for row in range(first, last):
        sums[row] = 0.0
        for t in range(indptr[row], indptr[row + 1]):
            column = columns[t]
            for j in range(table.shape[1]):
                sums[row, j] += table[column, j]


@njit(nogil=True, cache=True)
def transpose(
    users: NDArray[np.int32], movies: NDArray[np.int32], values: NDArray[np.float32], n_movies: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Sort ratings by movie, then user, by counting.

    Parameters
    ----------
    users, movies : ndarray of int32, shape (n_ratings,)
        ``users`` non-decreasing.
    values : ndarray of float32, shape (n_ratings,)
    n_movies : int

    Returns
    -------
    indptr : ndarray of int64, shape (n_movies + 1,)
    users : ndarray of int32, shape (n_ratings,)
    values : ndarray of float32, shape (n_ratings,)
    """
    indptr = np.zeros(n_movies + 1, dtype=np.int64)
    for movie in movies:
        indptr[movie + 1] += 1
    for i in range(n_movies):
        indptr[i + 1] += indptr[i]
    place = indptr[:-1].copy()
    sorted_users = np.empty_like(users)
    sorted_values = np.empty_like(values)
    for t in range(len(movies)):
        p = place[movies[t]]
        sorted_users[p] = users[t]
        sorted_values[p] = values[t]
        place[movies[t]] = p + 1
    return indptr, sorted_users, sorted_values
