"""The Cramer-Rao bound: the smallest squared error of the hidden weights that any unbiased learner can have."""

import numpy as np


def bound(teacher, X, sigma):
    """Bound on ``sum_i ||P_i (V'_i - V_i)||^2``, with ``P_i`` the projection onto the tangent space at ``V_i``.

    The scale of a neuron is not identifiable, so ``||V_i|| = 1``; the labels have Gaussian noise of standard
    deviation sigma. Inverts the information ``J^T J / sigma^2`` of the tangent coordinates and of A.
    """
    V, A = teacher.W, teacher.A
    n, d = X.shape
    m, k = A.shape
    gates = X @ V.T > 0
    values = gates * (X @ V.T)
    hidden = np.empty((n, m, k, d - 1))
    for i in range(k):
        tangent = np.linalg.qr(np.column_stack([V[i], np.eye(d)]))[0][:, 1:]
        moves = gates[:, i, np.newaxis] * (X @ tangent)
        hidden[:, :, i] = A[:, i, np.newaxis] * moves[:, np.newaxis]
    output = np.einsum("ji,lq->jlqi", values, np.eye(m))
    J = np.concatenate([hidden.reshape(n * m, -1), output.reshape(n * m, -1)], axis=1)
    covariance = sigma**2 * np.linalg.inv(J.T @ J)
    return float(np.trace(covariance[: k * (d - 1), : k * (d - 1)]))


def squared_error(student, teacher, assignment):
    """``sum_i ||P_i (V'_i - V_i)||^2`` for a student whose neurons are matched to the teacher's."""
    V = teacher.W
    found = student.W[assignment]
    difference = found / np.linalg.norm(found, axis=1, keepdims=True) - V
    tangential = difference - V * np.sum(difference * V, axis=1, keepdims=True)
    return float(np.sum(tangential**2))
