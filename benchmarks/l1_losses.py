"""Logistic and hinge loss over a ball of the recursive kernel, beside scikit-learn's solvers at the penalty found."""

import time
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastmom.experiments.images import convex
from fastmom.rkhs.features import nystrom_features
from fastmom.rkhs.hinge import hinge_ball
from fastmom.rkhs.logistic import logistic_in_features
from fastmom.rkhs.logistic_loss import loss_gradient
from fastmom.rkhs.products import as_ball_rows, kernel_values
from fastmom.runtime.threads import single_blas_thread


@dataclass(frozen=True)
class Sizes:
    """Rows and landmarks of the logistic problem, images of the hinge problem."""

    rows: int = 20_000
    features: int = 500
    images: int = 2000
    test_images: int = 4000


SIZES = Sizes()


def cpu(call):
    """Best CPU seconds of three."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return min(spent)


def on_sphere(X):
    X = np.column_stack([X, np.ones(len(X))])
    return as_ball_rows(X / np.linalg.norm(X, axis=1, keepdims=True))


class Logistic:
    """The class in which a noisy network of rectifiers is greatest, features of landmarks; two classes are binary."""

    params: ClassVar = [[10.0, 40.0], [2, 4]]
    param_names: ClassVar = ["radius", "classes"]
    timeout = 300

    def setup(self, radius, classes):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((SIZES.rows, 20))
        X = as_ball_rows(X / np.linalg.norm(X, axis=1, keepdims=True))
        f = np.maximum(X @ rng.standard_normal((20, 8)), 0) @ rng.standard_normal((8, classes))
        f = (f - f.mean(axis=0)) / f.std(axis=0) + 0.1 * rng.standard_normal(f.shape)
        self.labels = f.argmax(axis=1)
        self.y = np.where(self.labels > 0, 1.0, -1.0)[:, None] if classes == 2 else np.eye(classes)[self.labels]
        self.Phi = np.ascontiguousarray(nystrom_features(X[: SIZES.features], 2.0).features(X))
        self.fit = self.solve(radius)

    def solve(self, radius):
        with single_blas_thread():
            return logistic_in_features(self.Phi, self.y, radius)

    def time_ball(self, radius, classes):
        self.solve(radius)

    def track_gap(self, radius, classes):
        """At most 1e-9."""
        return self.fit.gap

    def track_newton_steps(self, radius, classes):
        """At most 10."""
        return self.fit.steps

    def track_over_lbfgs(self, radius, classes):
        """CPU time over scikit-learn's lbfgs at the penalty found, of a tolerance that brings gap 1e-8: at most 1.5."""
        from sklearn.linear_model import LogisticRegression

        C = 1 / (len(self.y) * self.fit.penalty)
        for tolerance in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
            rival = LogisticRegression(C=C, fit_intercept=False, tol=tolerance, max_iter=10_000)
            w = rival.fit(self.Phi, self.labels).coef_.T
            w *= min(1.0, radius / np.linalg.norm(w))
            g = self.Phi.T @ loss_gradient(self.Phi @ w, self.y) / len(self.y)
            if np.vdot(g, w) + radius * np.linalg.norm(g) <= 1e-8:
                break
        with single_blas_thread():
            return cpu(lambda: self.solve(radius)) / cpu(lambda: rival.fit(self.Phi, self.labels))


class Hinge:
    """Convex images against others; from 110 on they are separable."""

    params: ClassVar = [10.0, 40.0, 80.0, 160.0]
    param_names: ClassVar = ["radius"]
    timeout = 300

    def setup_cache(self):
        return convex(SIZES.images + SIZES.test_images, 0)

    def setup(self, images, radius):
        from sklearn.svm import SVC

        X, y = images
        m = SIZES.images
        X, y = on_sphere(X), 2.0 * y - 1
        self.K, self.y = kernel_values(X[:m], None, 4.0), y[:m, np.newaxis]
        self.fit = self.solve(radius)
        self.rival = SVC(kernel="precomputed", C=1 / (m * self.fit.penalty))
        self.test = kernel_values(X[m:], X[:m], 4.0), y[m:]

    def solve(self, radius):
        with single_blas_thread():
            return hinge_ball(self.K, self.y, radius)

    def time_ball(self, images, radius):
        self.solve(radius)

    def track_gap(self, images, radius):
        """At most 3e-5."""
        return self.fit.primal - self.fit.dual

    def track_over_libsvm(self, images, radius):
        """CPU time over LIBSVM's at the one penalty found: at most 3."""
        return cpu(lambda: self.solve(radius)) / cpu(lambda: self.rival.fit(self.K, self.y[:, 0]))

    def track_points_above_libsvm(self, images, radius):
        """Test error minus LIBSVM's, in points: at most 0.5."""
        K, y = self.test
        ours = np.mean((K @ self.fit.coefficients[:, 0] > 0) != (y > 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = np.mean(self.rival.fit(self.K, self.y[:, 0]).predict(K) != y)
        return 100 * float(ours - theirs)
