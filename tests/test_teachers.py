"""Teachers and samples have the properties their names promise, and depend on the seed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmom.teachers import make_samples, random_teacher, sample_inputs

KINDS = ["gaussian", "orthonormal", "conditioned", "correlated", "clump", "opposite", "same"]
LAWS = [
    "gaussian",
    "mixture",
    "hypercube",
    "student_t",
    "uniform",
    "laplace",
    "exponential",
    "sparse",
    "correlated",
]


def angles(W, centre):
    return np.arccos(np.clip(W @ centre, -1, 1))


@given(st.sampled_from(KINDS), st.integers(2, 6), st.integers(6, 9), st.integers(1, 3), st.integers(0, 10**6))
def test_hidden_weights_have_norm_one_and_output_weights_about_one(kind, k, d, m, seed):
    net = random_teacher(d, k, m, kind=kind, rng=seed)
    np.testing.assert_allclose(np.linalg.norm(net.W, axis=1), 1, rtol=1e-13)
    norms = np.linalg.norm(net.A, axis=0)
    assert ((norms > 0.5 - 1e-12) & (norms < 1.5 + 1e-12)).all()
    assert net.hidden_bias is None and net.output_bias is None


def test_orthonormal_rows_are_orthonormal():
    W = random_teacher(9, 5, kind="orthonormal", rng=0).W
    np.testing.assert_allclose(W @ W.T, np.eye(5), atol=1e-14)


@settings(max_examples=60)
@given(st.integers(2, 20), st.integers(2, 20), st.floats(1, 1e6), st.integers(0, 10**6))
def test_conditioned_rows_have_exactly_that_condition(k, d, condition, seed):
    W = random_teacher(d, k, kind="conditioned", condition=condition, rng=seed).W
    values = np.linalg.svd(W, compute_uv=False)
    assert values[0] / values[-1] == pytest.approx(condition, rel=1e-6)
    np.testing.assert_allclose(np.linalg.norm(W, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.diff(np.log(values)), np.log(values[1] / values[0]), rtol=1e-4, atol=1e-6)


def test_correlated_rows_share_their_angle_to_one_direction():
    W = random_teacher(12, 6, kind="correlated", angle=0.4, rng=0).W
    centre = np.linalg.lstsq(W, np.full(6, np.cos(0.4)), rcond=None)[0]
    assert np.linalg.norm(centre) < 1 + 1e-12
    cosines = (W @ W.T)[np.triu_indices(6, 1)]
    assert cosines.mean() == pytest.approx(np.cos(0.4) ** 2, abs=0.1)
    assert (cosines >= np.cos(0.8) - 1e-12).all()


def test_clumps_stay_within_their_angle_and_their_signs_alternate():
    net = random_teacher(12, 6, kind="clump", angle=0.2, rng=0)
    assert (np.arccos((net.W @ net.W.T).clip(-1, 1)) <= 0.4 + 1e-7).all()
    assert (np.diff(np.sign(net.A[0])) != 0).all()
    wide = random_teacher(12, 6, 4, kind="clump", angle=0.2, rng=0)
    assert np.linalg.matrix_rank(wide.A) == 1


@given(st.floats(1e-6, 3.1), st.integers(0, 10**6), st.sampled_from(["opposite", "same"]))
def test_the_first_two_neurons_are_exactly_at_the_angle(angle, seed, kind):
    net = random_teacher(7, 4, 2, kind=kind, angle=angle, rng=seed)
    assert np.linalg.norm(net.W[0] - net.W[1]) == pytest.approx(2 * np.sin(angle / 2), rel=1e-8)
    np.testing.assert_array_equal(net.A[:, 1], -net.A[:, 0] if kind == "opposite" else net.A[:, 0])


@pytest.mark.parametrize("k", [4, 6, 10])
def test_the_second_moment_of_balanced_neurons_vanishes(k):
    net = random_teacher(6, k, 2, kind="balanced", rng=0)
    for a in net.A:
        assert np.abs((net.W.T * a) @ net.W).max() < 1e-15
    cosines = np.abs(net.W @ net.W.T - np.eye(k))
    assert cosines.max() < 0.9 and np.linalg.matrix_rank(net.W) == k // 2


@pytest.mark.parametrize("kind", ["gaussian", "same", "correlated"])
def test_positive_outputs_are_positive(kind):
    assert (random_teacher(5, 4, 3, kind=kind, output="positive", rng=0).A >= 0).all()
    assert (random_teacher(5, 40, kind=kind, rng=0).A < 0).any()


def test_biases_have_their_sizes():
    net = random_teacher(5, 2000, 2000, bias=True, activation="leaky_relu(0.1)", rng=0)
    assert net.hidden_bias.std() == pytest.approx(0.3, rel=0.1)
    assert net.output_bias.std() == pytest.approx(1, rel=0.1)
    assert str(net.activation) == "leaky_relu(0.1)"


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((3, 4), {"kind": "orthonormal"}, "n_hidden: at most 3"),
        ((3, 4), {"kind": "orthnormal"}, "did you mean 'orthonormal'"),
        ((3, 4), {"condition": 3.0}, "condition: only"),
        ((3, 4), {"angle": 3.0}, "angle: only"),
        ((3, 4), {"kind": "conditioned", "condition": 0.5}, "condition: "),
        ((1, 4), {"kind": "conditioned"}, "condition: a matrix of rank one"),
        ((3, 1), {"kind": "conditioned"}, "condition: a matrix of rank one"),
        ((1, 4), {"kind": "clump"}, "n_inputs: "),
        ((3, 1), {"kind": "opposite"}, "n_hidden: "),
        ((3, 4), {"kind": "clump", "angle": 4.0}, "angle: "),
        ((3, 4), {"kind": "clump", "output": "positive"}, "output: "),
        ((3, 5), {"kind": "balanced"}, "n_hidden: "),
        ((3, 8), {"kind": "balanced"}, "n_hidden: "),
        ((3, 4), {"kind": "balanced", "output": "positive"}, "output: "),
        ((3, 4), {"output": "negative"}, "output: "),
        ((0, 4), {}, "n_inputs: "),
        ((3, 0), {}, "n_hidden: "),
        ((3, 4, -1), {}, "n_outputs: "),
        ((3, 4), {"rng": -1}, "rng: "),
        ((3, 4), {"activation": "rleu"}, "activation: "),
    ],
)
def test_impossible_teachers_are_refused(arguments, options, words):
    with pytest.raises(ValueError) as caught:
        random_teacher(*arguments, **options)
    assert words in str(caught.value)


MOMENTS = {  # mean and variance of an entry
    "gaussian": (0, 1),
    "hypercube": (0, 1),
    "uniform": (0.5, 1 / 12),
    "laplace": (0, 2),
    "exponential": (0, 1),
    "sparse": (0, 0.2),
}


@pytest.mark.parametrize("law", MOMENTS)
def test_laws_have_their_mean_and_variance(law):
    X = sample_inputs(40_000, 5, law, rng=0)
    mean, variance = MOMENTS[law]
    assert X.shape == (40_000, 5) and X.dtype == np.float64
    np.testing.assert_allclose(X.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(X.var(axis=0), variance, rtol=0.06)


def test_laws_have_their_shape():
    assert set(np.unique(sample_inputs(100, 3, "hypercube", rng=0))) == {-1.0, 1.0}
    assert np.mean(sample_inputs(10_000, 3, "sparse", rng=0) == 0) == pytest.approx(0.8, abs=0.01)
    uniform = sample_inputs(1000, 3, "uniform", rng=0)
    assert uniform.min() >= 0 and uniform.max() <= 1
    assert sample_inputs(1000, 3, "exponential", rng=0).min() >= -1
    heavy = sample_inputs(40_000, 1, "student_t", rng=0)
    assert np.mean(np.abs(heavy) > 3.182) == pytest.approx(0.05, abs=0.005)
    eigenvalues = np.linalg.eigvalsh(np.cov(sample_inputs(40_000, 4, "correlated", rng=0).T))
    np.testing.assert_allclose(eigenvalues, np.geomspace(0.05, 1, 4), rtol=0.05)
    mixture = sample_inputs(40_000, 3, "mixture", rng=0)
    assert np.linalg.norm(mixture.mean(axis=0)) < 0.1 and mixture.var() > 2


@pytest.mark.parametrize("law", LAWS)
def test_the_seed_decides_every_bit(law):
    teacher = random_teacher(5, 3, 2, rng=3)
    first, second = (make_samples(teacher, 50, law=law, noise=0.1, corruption=0.2, rng=9) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()
    other = make_samples(teacher, 50, law=law, rng=10)[0]
    assert not np.array_equal(first[0], other)


@pytest.mark.parametrize("kind", KINDS)
def test_teachers_repeat_from_seeds_and_generators(kind):
    generator = np.random.default_rng(3)
    assert random_teacher(5, 3, kind=kind, rng=3) == random_teacher(5, 3, kind=kind, rng=generator)


def test_clean_labels_are_the_teachers():
    teacher = random_teacher(5, 3, 2, bias=True, rng=0)
    X, Y = make_samples(teacher, 200, rng=1)
    np.testing.assert_array_equal(Y, teacher.predict(X))


def test_noise_is_relative_to_the_labels():
    teacher = random_teacher(5, 3, 2, bias=True, rng=0)
    X, Y = make_samples(teacher, 20_000, noise=0.2, rng=1)
    clean = teacher.predict(X)
    assert np.std(Y - clean) == pytest.approx(0.2 * np.sqrt(np.mean(clean**2)), rel=0.02)


@pytest.mark.parametrize("kind", ["gross", "flip", "shuffle"])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 1.0])
def test_corruption_touches_exactly_its_rows(kind, fraction):
    teacher = random_teacher(5, 20, 2, bias=True, rng=0)
    X, Y = make_samples(teacher, 1000, corruption=fraction, corruption_kind=kind, rng=1)
    clean = teacher.predict(X)
    wrong = (Y != clean).any(axis=1)
    assert wrong.sum() == round(1000 * fraction)
    if kind == "gross":
        assert np.sqrt(np.mean(Y[wrong] ** 2)) == pytest.approx(10 * np.sqrt(np.mean(clean**2)), rel=0.5)
    elif kind == "flip":
        np.testing.assert_array_equal(Y[wrong], -clean[wrong])
    else:
        np.testing.assert_array_equal(np.sort(Y[:, 0]), np.sort(clean[:, 0]))


@pytest.mark.parametrize(
    "options",
    [
        {"law": "cauchy"},
        {"noise": -0.1},
        {"corruption": 1.1},
        {"corruption_kind": "subtle"},
        {"n": 0},
    ],
)
def test_impossible_samples_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name}: "):
        make_samples(random_teacher(5, 3, rng=0), **{"n": 10, **options})


def test_only_networks_label_samples():
    with pytest.raises(TypeError, match="teacher"):
        make_samples("net", 10)
