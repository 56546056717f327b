"""The l1-kernel learner: solvers agree, the gap says what it may, classes are classes, and models survive a file."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.rkhs.model import KernelModel


def samples(n=600, d=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1)[:, None] * (1 + 1e-14)
    return X, np.tanh(3 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(n)


def test_solvers_agree():
    X, y = samples()
    fits = {
        solver: fm.learn_l1_kernel(X, y, depth=2.0, radius=3.0, solver=solver, n_landmarks=size, rng=0)
        for solver, size in (("dense", None), ("pcg", 150), ("nystrom", 600))
    }
    assert [fit.status for fit in fits.values()] == ["ball_optimum", "ball_optimum", "span_optimum"]
    for fit in fits.values():
        assert fit.success and fit.certificate is None and fit.network is None
        np.testing.assert_allclose(fit.diagnostics["primal"], fits["dense"].diagnostics["primal"], rtol=1e-5)
        half_error = np.mean((fit.predict(X)[:, 0] - y) ** 2) / 2
        np.testing.assert_allclose(half_error, fit.diagnostics["primal"], rtol=1e-6)
    assert fits["dense"].diagnostics["relative_gap"] <= 1e-12
    assert fits["nystrom"].diagnostics["gap_kind"] == "estimate"


def test_few_landmarks_are_not_the_ball_and_say_so():
    X, y = samples()
    truth = fm.learn_l1_kernel(X, y, radius=5.0, rng=0).diagnostics
    found = fm.learn_l1_kernel(X, y, radius=5.0, solver="nystrom", n_landmarks=10, rng=0).diagnostics
    assert found["gap_kind"] == "estimate" and found["relative_gap"] > 0.1
    assert found["dual"] <= truth["primal"] <= found["primal"]


def test_the_radius_is_chosen_on_held_out_rows():
    X, y = samples(1000)
    fit = fm.learn_l1_kernel(X[:600], y[:600], depth=2.0, rng=0)
    chosen = fit.diagnostics["radius"]
    errors = [
        np.mean((other.predict(X[600:])[:, 0] - y[600:]) ** 2)
        for other in (fit, *fm.l1_kernel_path(X[:600], y[:600], [chosen / 8, chosen * 8], depth=2.0, rng=0))
    ]
    assert fit.status == "ball_optimum" and errors[0] == min(errors)


def test_a_path_is_its_fits_and_losses_fall_along_it():
    X, y = samples(300)
    radii = [0.5, 1.0, 2.0]
    for solver in ("dense", "pcg", "nystrom"):
        path = fm.l1_kernel_path(X, y, radii, solver=solver, n_landmarks=50, rng=3)
        losses = [fit.diagnostics["primal"] for fit in path]
        assert losses == sorted(losses, reverse=True)
        alone = fm.learn_l1_kernel(X, y, radius=2.0, solver=solver, n_landmarks=50, rng=3)
        np.testing.assert_array_equal(alone.predict(X), path[-1].predict(X))


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("names", [("no", "yes"), (False, True), (3, 7), ("a", "b", "c")])
def test_classes_are_predicted_by_their_names(loss, names):
    X, _ = samples(300)
    y = np.array(names)[np.digitize(X[:, 0], np.linspace(-0.2, 0.2, len(names) - 1) if len(names) > 2 else [0.0])]
    fit = fm.learn_l1_kernel(X, y, loss=loss, radius=30.0, rng=0)
    assert fit.success and fit.status == "ball_optimum", fit
    predicted = fit.predict(X)
    assert predicted.dtype == y.dtype and np.mean(predicted == y) > 0.95


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_labels_that_are_no_classes_are_refused(loss):
    X, y = samples(50)
    for labels, message in ((y, "no class"), (np.ones(50), "all rows"), (np.ones(49), "49 rows")):
        with pytest.raises(ValueError, match=f"^Y.*{message}"):
            fm.learn_l1_kernel(X, labels, loss=loss, radius=1.0)


def test_a_solver_that_a_loss_does_not_have_is_refused():
    X, y = samples(50)
    with pytest.raises(ValueError, match=r"^solver: 'pcg' is not for the hinge loss"):
        fm.learn_l1_kernel(X, y > 0, loss="hinge", solver="pcg", radius=1.0)


def test_logistic_in_the_span_of_landmarks():
    X, y = samples(300)
    fit = fm.learn_l1_kernel(X, y > 0, loss="logistic", solver="nystrom", n_landmarks=100, radius=5.0, rng=0)
    whole = fm.learn_l1_kernel(X, y > 0, loss="logistic", radius=5.0)
    assert fit.status == "span_optimum" and fit.diagnostics["gap_kind"] == "estimate"
    assert whole.diagnostics["dual"] <= fit.diagnostics["primal"] < 1.1 * whole.diagnostics["primal"]


def test_the_radius_of_the_theory():
    X, y = samples(100)
    fit = fm.learn_l1_kernel(X, y, radius="theory", depth=2, network=(1.0, "erf", 0.25))
    np.testing.assert_allclose(fit.diagnostics["radius"], np.exp(fm.network_norm_bound(2, 1.0, "erf", 0.25)))
    with pytest.raises(ValueError, match=r"^radius: .*constrains nothing"):
        fm.learn_l1_kernel(X, y, radius="theory", depth=3, network=(1.0, "erf", 1.0))
    with pytest.raises(ValueError, match=r"^depth: "):
        fm.learn_l1_kernel(X, y, radius="theory", depth=1.5)


def test_inputs_outside_the_ball_are_refused_or_rescaled():
    X, y = samples(100)
    with pytest.raises(ValueError, match=r"^X\[\d+\] has norm"):
        fm.learn_l1_kernel(3 * X, y, radius=1.0)
    fit = fm.learn_l1_kernel(3 * X, y, radius=1.0, rescale=True)
    np.testing.assert_allclose(fit.diagnostics["scale"], 3.0)
    np.testing.assert_allclose(fit.predict(3 * X), fm.learn_l1_kernel(X, y, radius=1.0).predict(X), atol=1e-9)
    with pytest.raises(ValueError, match=r"^X\[0\] has norm 4"):
        fit.predict(4 * X[:1])


def test_single_precision_gives_nearly_the_same():
    X, y = samples(300)
    X = X / 1.00001
    for solver in ("dense", "pcg", "nystrom"):
        double, single = (
            fm.learn_l1_kernel(X.astype(dtype), y, radius=1.0, solver=solver, n_landmarks=60, rng=0)
            for dtype in (np.float64, np.float32)
        )
        assert single.success
        np.testing.assert_allclose(single.predict(X[:50]), double.predict(X[:50]), atol=2e-3)


def test_labels_of_zero_are_fitted_by_zero():
    X, _ = samples(100)
    fit = fm.learn_l1_kernel(X, np.zeros(100), rng=0)
    assert fit.success and not fit.predict(X).any()


@pytest.mark.parametrize("solver", ["dense", "pcg", "nystrom"])
def test_a_penalty_is_the_ball_of_its_own_norm(solver):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True) * (1 + 1e-12)
    y = np.tanh(2 * X[:, 0]) + 0.1 * rng.standard_normal(300)
    settings = {"depth": 2.0, "solver": solver, "n_landmarks": 60, "rng": 0}
    for fit in fm.l1_kernel_path(X, y, penalties=[1e-4, 1e-2], **settings):
        (same,) = fm.l1_kernel_path(X, y, [fit.diagnostics["radius"]], **settings)
        assert fit.success
        for name in ("primal", "rkhs_norm"):  # to the gap at which conjugate gradients stop
            np.testing.assert_allclose(same.diagnostics[name], fit.diagnostics[name], rtol=1e-5)


def test_a_path_is_of_radii_or_of_penalties():
    X, y = np.eye(4), np.arange(4) % 2
    for arguments in ({}, {"radii": [1.0], "penalties": [1.0]}):
        with pytest.raises(ValueError, match="either radii or penalties"):
            fm.l1_kernel_path(X, y, **arguments)
    with pytest.raises(ValueError, match="penalties: are for the squared loss"):
        fm.l1_kernel_path(X, y, penalties=[1.0], loss="hinge")


def test_the_same_seed_gives_the_same_bits_and_a_model_survives_a_file(tmp_path):
    X, y = samples(300)
    first, again = (fm.learn_l1_kernel(X, y > 0, loss="logistic", rng=5) for _ in range(2))
    np.testing.assert_array_equal(first.model.values(X), again.model.values(X))
    first.model.save(tmp_path / "model.npz")
    loaded = KernelModel.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), first.predict(X))


def test_learn_by_name():
    X, y = samples(200)
    fit = fm.learn(X, y, "l1_kernel", radius=2.0, rng=0)
    assert fit.method == "l1_kernel" and fit.success
