"""What kernels share that work on a tile of rows at a time."""

import numpy as np

from fastmom.kernels._compile import block


@block
def part(flat, start, rows, columns):
    """The matrix (rows, columns) that begins at an entry of flat scratch."""
    return flat[start : start + rows * columns].reshape(rows, columns)


@block
def accumulate(T, X, product, sums):
    """Add T^T X (m, d) to the flat sums; `product` (m, d) is work space."""
    np.dot(T.T, X, product)
    d = X.shape[1]
    for j in range(product.shape[0]):
        for a in range(d):
            sums[j * d + a] += product[j, a]
