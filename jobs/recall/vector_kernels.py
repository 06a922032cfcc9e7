"""Compiled kernels of the vector recalls. Imported by tasks only: numba takes a second to load.

Every sum runs in a fixed order: dimensions from first to last, a row's entries by code. BLAS would be faster, but gives
a row other bits in a block of another shape, so what a user gets would depend on the partition.
"""

from __future__ import annotations

import numpy as np

from jobs.recall.compiled import compiled


@compiled()
def inner_products(queries: np.ndarray, transposed: np.ndarray) -> np.ndarray:
    """queries (rows x dimensions) times transposed (dimensions x items)."""
    product = np.zeros((len(queries), transposed.shape[1]))
    for row in range(len(queries)):
        for dimension in range(len(transposed)):
            factor = queries[row, dimension]
            for item in range(transposed.shape[1]):
                product[row, item] += factor * transposed[dimension, item]
    return product


@compiled()
def gram_of(vectors: np.ndarray) -> np.ndarray:
    """vectors' vectors, rows from first to last."""
    size = vectors.shape[1]
    gram = np.zeros((size, size))
    for row in range(len(vectors)):
        for i in range(size):
            for j in range(size):
                gram[i, j] += vectors[row, i] * vectors[row, j]
    return gram


@compiled()
def solve_rows(
    ends: np.ndarray,
    codes: np.ndarray,
    extra: np.ndarray,
    others: np.ndarray,
    gram: np.ndarray,
    regularization: float,
    solved: np.ndarray,
    start: int,
    end: int,
) -> None:
    """Half a step of alternating least squares: the vectors of the rows start..end, written to `solved`.

    Row r has the entries codes[ends[r]:ends[r + 1]], each with its confidence less 1 in `extra`. Its vector x solves
    (gram + sum of extra y y' + regularization I) x = sum of (1 + extra) y, y the vectors of its entries in `others`,
    gram = others' others; by Cholesky's decomposition, on the lower half.
    """
    size = others.shape[1]
    matrix, x = np.empty((size, size)), np.empty(size)
    for row in range(start, end):
        matrix[:] = gram
        x[:] = 0.0
        for entry in range(ends[row], ends[row + 1]):
            y, more = others[codes[entry]], extra[entry]
            for i in range(size):
                scaled = more * y[i]
                x[i] += y[i] + scaled
                for j in range(i + 1):
                    matrix[i, j] += scaled * y[j]
        for i in range(size):
            matrix[i, i] += regularization
        _solve(matrix, x)
        solved[row] = x


@compiled()
def _solve(matrix: np.ndarray, x: np.ndarray) -> None:
    """Replaces x by the solution of matrix z = x, and the lower half of the matrix by its Cholesky factor."""
    size = len(x)
    for k in range(size):
        matrix[k, k] = np.sqrt(matrix[k, k])
        for i in range(k + 1, size):
            matrix[i, k] /= matrix[k, k]
        for i in range(k + 1, size):
            factor = matrix[i, k]
            for j in range(k + 1, i + 1):
                matrix[i, j] -= factor * matrix[j, k]
    for i in range(size):
        for j in range(i):
            x[i] -= matrix[i, j] * x[j]
        x[i] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        x[i] /= matrix[i, i]
        for j in range(i):
            x[j] -= matrix[i, j] * x[i]
