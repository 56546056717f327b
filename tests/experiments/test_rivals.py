"""The rival is a fair one: its gradient is exact, it solves what is easy, and it is told what it may know."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

import fastmom as fm
from fastmom.activations import resolve
from fastmom.experiments.rivals import Student, lbfgs_student


@pytest.fixture
def easy():
    teacher = fm.random_teacher(6, 3, 3, bias=True, rng=0)
    return teacher, *fm.make_samples(teacher, 400, rng=1)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.2)"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_gradient_is_that_of_the_loss(activation, bias):
    rng = np.random.default_rng(0)
    student = Student(rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), 3, bias, resolve(activation))
    theta = student.initial(rng, least_squares=False)
    loss, gradient = student.loss_and_gradient(theta)
    numerical = approx_fprime(theta, lambda point: student.loss_and_gradient(point)[0], 1e-7)
    np.testing.assert_allclose(gradient, numerical, atol=1e-6)
    assert student.residual(theta) == pytest.approx(np.sqrt(2 * loss))


def test_an_easy_network_is_found_to_round_off(easy):
    teacher, X, Y = easy
    fit = lbfgs_student(X, Y, 3, bias=True, starts=6, rng=2)
    assert fit.residual < 1e-12
    assert fm.compare(fit.network, teacher).max_error < 1e-10


def test_the_loss_is_that_of_the_network(easy):
    _, X, Y = easy
    fit = lbfgs_student(X, Y, 3, bias=True, rng=2, max_iterations=3)
    residual = np.linalg.norm(fit.network.predict(X) - Y) / np.linalg.norm(Y)
    assert fit.residual == pytest.approx(residual)


@pytest.mark.parametrize("least_squares", [False, True])
def test_it_starts_at_the_scale_of_the_labels(easy, least_squares):
    _, X, Y = easy
    for scale in (1e-6, 1.0, 1e6):
        student = Student(X, scale * Y, 3, True, resolve("relu"))
        theta = student.initial(np.random.default_rng(0), least_squares)
        assert student.residual(theta) < 2.0


def test_the_best_of_all_starts_is_returned(easy):
    _, X, Y = easy
    fit = lbfgs_student(X, Y, 3, starts=5, rng=3, max_iterations=50)
    assert fit.residual == fit.residuals.min()
    assert fit.residuals.shape == fit.seconds.shape == fit.iterations.shape == (5,)
    assert (fit.iterations <= 50).all()


def test_the_same_seed_gives_the_same_students(easy):
    _, X, Y = easy
    one, two = (lbfgs_student(X, Y, 3, starts=2, rng=4, max_iterations=40) for _ in range(2))
    assert one.network == two.network


def test_a_teacher_of_the_same_seed_is_not_the_initialisation():
    teacher = fm.random_teacher(6, 3, 3, rng=0)
    X, Y = fm.make_samples(teacher, 100, rng=1)
    start = lbfgs_student(X, Y, 3, rng=0, max_iterations=1).network
    angles = start.canonical().W @ teacher.canonical().W.T
    assert np.abs(angles).max() < 0.999


def test_patience_gives_up_a_start_that_stalls():
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(200, 5)), rng.normal(size=(200, 3))
    patient = lbfgs_student(X, Y, 3, rng=6, max_iterations=2000)
    hasty = lbfgs_student(X, Y, 3, rng=6, max_iterations=2000, patience=20)
    assert hasty.iterations[0] < patient.iterations[0]


def test_wrong_input_is_refused(easy):
    _, X, Y = easy
    with pytest.raises(ValueError, match="n_hidden: expected at least 1"):
        lbfgs_student(X, Y, 0)
    with pytest.raises(ValueError, match="rows"):
        lbfgs_student(X, Y[:10], 3)
