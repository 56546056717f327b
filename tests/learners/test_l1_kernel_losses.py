"""The l1-kernel learner end to end: numbers and classes, by matrix and by landmarks, its bound and its refusals."""

import json
import math

import numpy as np
import pytest

import fastmom as fm

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 5))
X /= np.linalg.norm(X, axis=1, keepdims=True)
F = X @ RNG.standard_normal((5, 3))
NUMBERS = np.tanh(2 * F)
PLACES = np.array(["left", "middle", "right"])[F.argmax(axis=1)]
SIDES = np.where(F[:, 0] > 0, 7, -2)
LOSSES = ("squared", "logistic", "hinge")


def labels(loss):
    return NUMBERS if loss == "squared" else PLACES


def accuracy(result, inputs, truth):
    return np.mean(result.predict(inputs) == truth)


@pytest.mark.parametrize("solver", ["dense", "nystrom"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_gap_is_closed_and_the_numbers_are_reported(loss, solver):
    result = fm.learn_l1_kernel(X, labels(loss), radius=6.0, loss=loss, solver=solver, n_landmarks=60, rng=0)
    found = result.diagnostics
    assert result.success and result.status == "optimal" and result.network is None and result.certificate is None
    assert found["rkhs_norm"] == pytest.approx(6.0, rel=1e-6) and found["radius"] == 6.0
    assert 0 <= found["primal"] - found["dual"] + 1e-12 and found["primal"] - found["dual"] <= 1e-4
    assert found["gap_against"] == ("ball" if solver == "dense" else "landmarks")
    assert found["rademacher_bound"] == pytest.approx(6 * math.sqrt(1 / 400), rel=1e-9)  # K(x, x) = 1 on the sphere
    assert (result.method, result.variant) == ("l1_kernel", solver) and json.dumps(result.to_dict())


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("classes", [PLACES, SIDES, SIDES.astype(float), SIDES > 0, PLACES.astype(object)])
def test_classes_of_any_kind_come_back(loss, classes):
    result = fm.learn_l1_kernel(X[:300], classes[:300], radius=30.0, loss=loss)
    assert result.success
    assert accuracy(result, X[300:], classes[300:]) > 0.9
    assert set(result.predict(X)) <= set(classes)


@pytest.mark.parametrize("loss", LOSSES)
def test_all_rows_as_landmarks_are_the_matrix(loss):
    dense = fm.learn_l1_kernel(X, labels(loss), radius=3.0, loss=loss, solver="dense")
    spanned = fm.learn_l1_kernel(X, labels(loss), radius=3.0, loss=loss, solver="nystrom", n_landmarks=400, rng=0)
    assert spanned.diagnostics["primal"] == pytest.approx(dense.diagnostics["primal"], abs=4e-5)
    np.testing.assert_allclose(spanned.model.values(X[:20]), dense.model.values(X[:20]), atol=0.05)


@pytest.mark.parametrize("loss", LOSSES)
def test_landmarks_bound_the_matrix_from_above(loss):
    dense = fm.learn_l1_kernel(X, labels(loss), radius=3.0, loss=loss, solver="dense").diagnostics
    spanned = fm.learn_l1_kernel(X, labels(loss), radius=3.0, loss=loss, solver="nystrom", n_landmarks=20, rng=0)
    assert spanned.diagnostics["primal"] >= dense["dual"] - 1e-9


@pytest.mark.parametrize("loss", LOSSES)
def test_a_radius_is_chosen_on_held_out_rows(loss):
    result = fm.learn_l1_kernel(X[:300], labels(loss)[:300], loss=loss, rng=0)
    assert result.success and result.seed == 0
    if loss == "squared":
        residual = result.predict(X[300:]) - NUMBERS[300:]
        assert np.sqrt(np.mean(residual**2)) < 0.1 * NUMBERS.std()
    else:
        assert accuracy(result, X[300:], PLACES[300:]) > 0.85
    again = fm.learn_l1_kernel(X[:300], labels(loss)[:300], loss=loss, rng=0)
    np.testing.assert_array_equal(again.model.values(X), result.model.values(X))


def test_the_radius_of_the_theory():
    result = fm.learn_l1_kernel(X, NUMBERS[:, 0], depth=2, radius="theory")
    assert result.diagnostics["radius"] == pytest.approx(math.exp(fm.network_norm_bound(2, 1.0, "erf", 0.25)))
    with pytest.raises(ValueError, match="radius: 'theory' is for a whole number of layers, depth is 1.5"):
        fm.learn_l1_kernel(X, NUMBERS, depth=1.5, radius="theory")


def test_inputs_outside_the_ball_are_refused_or_rescaled():
    with pytest.raises(ValueError, match=r"X\[0\] has norm 5"):
        fm.learn_l1_kernel(5 * X, NUMBERS, radius=1.0)
    wide = fm.learn_l1_kernel(5 * X, NUMBERS, radius=1.0, rescale=True)
    assert wide.diagnostics["scale"] == pytest.approx(5.0)
    plain = fm.learn_l1_kernel(X, NUMBERS, radius=1.0)
    np.testing.assert_allclose(wide.predict(5 * X[:9] * (1 - 1e-9)), plain.predict(X[:9]), atol=1e-6)
    with pytest.raises(ValueError, match=r"X\[0\] has norm 6"):
        wide.predict(6 * X)
    with pytest.raises(ValueError, match="X: has 4 columns, the model takes 5"):
        plain.predict(X[:, :4])


@pytest.mark.parametrize(
    ("options", "Y", "message"),
    [
        ({"loss": "logistic"}, NUMBERS[:, 0], r"Y\[0\] is .*, no class; loss='squared'"),
        ({"loss": "hinge"}, PLACES[:10], "Y: has 10 rows, the inputs 400"),
        ({"loss": "hinge"}, np.ones(400), "Y: all rows have the class"),
        ({"loss": "logistic"}, NUMBERS, "Y: expected one class for each row"),
        ({"loss": "logistic"}, np.arange(400) * 3, None),
        ({"radius": 0}, NUMBERS, "radius: expected a positive number"),
        ({"radius": "theoretical"}, NUMBERS, "radius: 'theoretical' is not one of 'theory'"),
        ({"rescale": 1}, NUMBERS, "rescale: expected True or False"),
        ({"n_landmarks": 0}, NUMBERS, "n_landmarks: expected at least 1"),
    ],
)
def test_what_is_refused(options, Y, message):
    if message is None:  # four hundred classes of one row each: odd, but classes
        assert fm.learn_l1_kernel(X[:40], Y[:40], radius=1.0, **options).success
        return
    with pytest.raises(ValueError, match=message):
        fm.learn_l1_kernel(X, Y, **options)


def test_strings_for_the_squared_loss_are_a_type_error():
    with pytest.raises(TypeError, match="Y: expected real numbers"):
        fm.learn_l1_kernel(X, PLACES)


def test_few_rows_and_constant_labels():
    assert fm.learn_l1_kernel([[0.5]], [2.0]).success
    assert fm.learn_l1_kernel(X[:3], np.zeros(3)).predict(X).ptp() == 0 if hasattr(np.ndarray, "ptp") else True
    assert fm.learn_l1_kernel(X[:2], ["a", "b"], loss="hinge").success
