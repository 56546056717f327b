"""The losses through the learner: classes of any kind come back, gaps are closed, what is no class is refused."""

import json

import numpy as np
import pytest

import fastmom as fm

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 5))
X *= (1 - 1e-12) / np.linalg.norm(X, axis=1, keepdims=True)
F = X @ RNG.standard_normal((5, 3))
PLACES = np.array(["left", "middle", "right"])[F.argmax(axis=1)]
SIDES = np.where(F[:, 0] > 0, 7, -2)
ROUTES = [("logistic", "dense"), ("logistic", "nystrom"), ("hinge", "dense")]


def accuracy(result, inputs, truth):
    return np.mean(result.predict(inputs) == truth)


@pytest.mark.parametrize(("loss", "solver"), ROUTES)
@pytest.mark.parametrize("classes", [PLACES, SIDES], ids=["three", "two"])
def test_the_gap_is_closed_and_the_numbers_are_reported(loss, solver, classes):
    result = fm.learn_l1_kernel(X, classes, radius=3.0, loss=loss, solver=solver, n_landmarks=60, rng=0)
    found = result.diagnostics
    assert result.success and result.network is None and result.certificate is None
    assert result.status == ("ball_optimum" if solver == "dense" else "span_optimum")
    assert found["gap_kind"] == ("exact" if solver == "dense" else "estimate")
    assert found["rkhs_norm"] == pytest.approx(3.0, rel=1e-6)
    assert -1e-12 <= found["primal"] - found["dual"] <= 3e-5 if loss == "hinge" else 2e-9
    assert json.dumps(result.to_dict())


@pytest.mark.parametrize(("loss", "solver"), ROUTES)
@pytest.mark.parametrize("classes", [PLACES, SIDES, SIDES.astype(float), SIDES > 0, PLACES.astype(object)])
def test_classes_of_any_kind_come_back(loss, solver, classes):
    result = fm.learn_l1_kernel(X[:300], classes[:300], radius=30.0, loss=loss, solver=solver, rng=0)
    assert accuracy(result, X[300:], classes[300:]) > 0.9
    assert set(result.predict(X)) <= set(classes)


def test_values_of_two_classes_are_a_column_and_turn_with_the_names():
    result = fm.learn_l1_kernel(X, SIDES, radius=3.0, loss="logistic")
    turned = fm.learn_l1_kernel(X, -SIDES, radius=3.0, loss="logistic")
    assert result.model.values(X).shape == (400, 1)
    np.testing.assert_allclose(result.model.values(X), -turned.model.values(X), atol=1e-7)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_no_function_of_a_span_is_below_the_dual_value_of_the_ball(loss):
    whole = fm.learn_l1_kernel(X, PLACES, radius=3.0, loss=loss).diagnostics
    few = fm.learn_l1_kernel(X[:100], PLACES[:100], radius=3.0, loss=loss).model
    values, codes = few.values(X), np.searchsorted(["left", "middle", "right"], PLACES)
    own = np.eye(3)[codes]
    if loss == "hinge":
        risk = np.maximum(0, 1 - (2 * own - 1) * values).sum(axis=1).mean()
    else:
        risk = (np.log(np.exp(values).sum(axis=1)) - (own * values).sum(axis=1)).mean()
    assert risk >= whole["dual"]


def test_all_rows_as_landmarks_are_the_matrix():
    dense = fm.learn_l1_kernel(X, PLACES, radius=3.0, loss="logistic", solver="dense")
    spanned = fm.learn_l1_kernel(X, PLACES, radius=3.0, loss="logistic", solver="nystrom", n_landmarks=400, rng=0)
    assert spanned.diagnostics["primal"] == pytest.approx(dense.diagnostics["primal"], abs=1e-7)
    np.testing.assert_allclose(spanned.model.values(X), dense.model.values(X), atol=1e-3)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_a_radius_is_found_for_classes_too(loss):
    result = fm.learn_l1_kernel(X[:300], PLACES[:300], loss=loss, rng=0)
    assert accuracy(result, X[300:], PLACES[300:]) > 0.85


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize(
    ("Y", "kind", "message"),
    [
        (F[:, 0], ValueError, r"Y\[0\] is .*, no class; loss='squared'"),
        (F, ValueError, "Y: expected one class for each row"),
        (PLACES[:10], ValueError, "Y: has 10 rows, the inputs 400"),
        (np.ones(400), ValueError, "Y: all rows have the class"),
        (np.array([None, "a"] * 200, dtype=object), TypeError, "Y: expected classes of one type"),
    ],
)
def test_what_is_no_class_is_refused(loss, Y, kind, message):
    with pytest.raises(kind, match=message):
        fm.learn_l1_kernel(X, Y, radius=1.0, loss=loss)


def test_classes_for_the_squared_loss_are_refused():
    with pytest.raises(TypeError, match="Y: expected real numbers"):
        fm.learn_l1_kernel(X, PLACES)


def test_two_rows():
    for loss in ("logistic", "hinge"):
        result = fm.learn_l1_kernel([[0.6, 0.0], [0.0, -0.9]], ["a", "b"], radius=9.0, loss=loss)
        assert list(result.predict([[0.6, 0.0], [0.0, -0.9]])) == ["a", "b"]
