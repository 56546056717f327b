"""The last digits of a network with fewer outputs than neurons, from the rows themselves."""

import numpy as np
import pytest

import fastmom as fm
from fastmom.activations import resolve
from fastmom.patterns.even_odd_refinement import refine
from fastmom.patterns.even_odd_system import System, read_sample
from fastmom.patterns.model import Model, ModelClass


def problem(activation="relu", bias=True, n_outputs=1):
    teacher = fm.random_teacher(6, 12, n_outputs, bias=bias, activation=activation, rng=0)
    X, Y = fm.make_samples(teacher, 1500, rng=1)
    kind = ModelClass(resolve(activation), bias, bias, 12)
    hidden, offset = teacher.W, np.zeros(n_outputs)
    if bias:
        X, hidden, offset = (
            np.column_stack([X, np.ones(1500)]),
            np.column_stack([hidden, teacher.hidden_bias]),
            teacher.output_bias,
        )
    plain = System(read_sample(X, Y), linear=False, constant=bias, slope=kind.slope)
    return teacher, plain, Model(hidden, np.vstack([teacher.A.T, offset]), 12, kind), X, Y


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.2)"])
@pytest.mark.parametrize(("bias", "n_outputs"), [(True, 1), (False, 1), (True, 3)])
def test_one_correction_removes_an_error_of_1e_10(activation, bias, n_outputs):
    teacher, plain, model, X, Y = problem(activation, bias, n_outputs)
    rng = np.random.default_rng(2)
    hidden, outer = (a * (1 + 1e-10 * rng.standard_normal(a.shape)) for a in (model.hidden, model.outer))
    wrong = Model(hidden, outer, 12, model.kind)
    assert fm.compare(wrong.network(), teacher).max_error > 1e-11
    assert fm.compare(refine(plain, wrong, X, Y).network(), teacher).max_error < 2e-14


def test_what_is_exact_stays():
    _, plain, model, X, _ = problem()
    Y = np.maximum(X @ model.W.T, 0.0) @ model.outer[:-1] + model.outer[-1]
    assert refine(plain, model, X, Y) is model


def test_a_model_with_linear_functions_is_left_alone():
    _, plain, model, X, Y = problem()
    linear = Model(np.vstack([model.hidden, np.ones(7)]), np.vstack([model.outer, [[0.0]]]), 12, model.kind)
    assert refine(plain, linear, X, Y) is linear
