"""A result says in plain words and in plain JSON what was recovered, and how far to trust it."""

import json

import numpy as np
import pytest

from fastmom.network import TwoLayerNetwork
from fastmom.result import Certificate, FitResult, Unidentified
from fastmom.teachers import random_teacher

NETWORK = random_teacher(53, 8, 10, bias=True, rng=0)


def certificate(**changes):
    fields = {
        "certified": True,
        "residual": 3.2e-16,
        "n_rows": 20000,
        "activity": np.arange(8),
        "correlation": np.ones(8),
        "rank": np.int64(8),
        "reason": "every row is reproduced to round-off",
    }
    return Certificate(**{**fields, **changes})


def fit(**changes):
    fields = {
        "network": NETWORK,
        "success": True,
        "status": "recovered",
        "message": "8 neurons explain all labels.",
        "method": "rectified",
        "variant": "snap",
        "certificate": certificate(),
        "timings": {"snap": 0.25, "polish": 0.05, "total": 0.31},
        "seed": 7,
    }
    return FitResult(**{**fields, **changes})


def strict(value):
    """JSON without NaN or Infinity."""
    return json.loads(json.dumps(value, allow_nan=False))


def test_the_network_predicts_and_is_counted():
    X = np.random.default_rng(0).standard_normal((5, 53))
    assert fit().model is NETWORK and fit().n_hidden == 8
    np.testing.assert_array_equal(fit().predict(X), NETWORK.predict(X))


def test_a_model_without_a_network_predicts():
    class Kernel:
        def predict(self, X):
            return np.ones((len(X), 1))

    result = fit(network=None, model=Kernel(), n_hidden=None)
    assert result.predict([[0.0]]).tolist() == [[1.0]] and result.n_hidden is None
    assert "Kernel" in repr(result)


def test_nothing_recovered_predicts_nothing():
    result = FitResult(success=False, status="rank_deficient", message="Labels of rank 2 hide 8 neurons.")
    with pytest.raises(ValueError, match=r"rank_deficient.*Labels of rank 2"):
        result.predict([[0.0]])
    assert strict(result.to_dict())["network"] is None


def test_a_certificate_is_true_when_certified():
    assert certificate() and not certificate(certified=False)
    assert bool(certificate(certified=np.bool_(True))) is True


@pytest.mark.parametrize("residual", [np.nan, np.inf])
def test_nothing_is_certified_without_a_residual(residual):
    with pytest.raises(ValueError, match="residual"):
        certificate(residual=residual)
    assert not certificate(certified=False, residual=residual)


def test_a_person_reads_what_matters():
    text = repr(fit())
    assert text.splitlines() == [
        "FitResult: recovered, certified",
        "  network      TwoLayerNetwork(53 -> 8 -> 10, relu, hidden and output bias)",
        "  method       rectified, snap",
        "  outcome      8 neurons explain all labels.",
        "  residual     3.2e-16 relative RMS over 20,000 rows",
        "  certified    yes: every row is reproduced to round-off",
        "  time         0.31 s (snap 0.25 s, polish 0.05 s)",
        "  seed         7",
    ]


def test_a_person_reads_what_is_uncertain():
    loose = tuple(Unidentified(i, "active on 3 rows", np.eye(2, 53)) for i in range(7))
    text = repr(fit(certificate=certificate(certified=False, unidentified=loose, reason="noisy labels")))
    assert text.startswith("FitResult: recovered, not certified")
    assert "certified    no: noisy labels" in text
    assert "undetermined neuron 0 (2 directions): active on 3 rows" in text
    assert "neuron 4" in text and "neuron 5" not in text and "and 2 more" in text
    assert "not certified" in repr(fit(certificate=None))


def test_the_summary_is_json_whatever_it_holds():
    diagnostics = {
        "count": np.int32(3),
        "flag": np.bool_(True),
        "nan": np.nan,
        "inf": np.float32(np.inf),
        "array": np.array([1.0, np.nan]),
        "long": np.zeros((1001, 2)),
        "nested": [{"a": (np.float64(0.5), None)}],
        5: complex(1, 2),
        "set": {1},
        "zero-dimensional": np.array(2),
    }
    found = strict(fit(diagnostics=diagnostics, success=np.bool_(True), seed=np.int64(7)).to_dict())
    assert found["diagnostics"] == {
        "count": 3,
        "flag": True,
        "nan": None,
        "inf": None,
        "array": [1.0, None],
        "long": {"shape": [1001, 2], "dtype": "float64"},
        "nested": [{"a": [0.5, None]}],
        "5": "(1+2j)",
        "set": [1],
        "zero-dimensional": 2,
    }
    assert found["success"] is True and found["seed"] == 7


def test_the_summary_says_what_was_recovered_without_the_weights():
    loose = (Unidentified(2, "never active"), Unidentified(None, "outputs", np.eye(3)))
    uncertain = certificate(certified=False, residual=np.nan, unidentified=loose)
    found = strict(fit(certificate=uncertain).to_dict())
    assert found["network"] == {
        "n_inputs": 53,
        "n_hidden": 8,
        "n_outputs": 10,
        "activation": "relu",
        "hidden_bias": True,
        "output_bias": True,
        "linear": False,
    }
    assert found["certificate"]["certified"] is False and found["certificate"]["residual"] is None
    assert found["certificate"]["activity"] == list(range(8))
    assert [item["n_directions"] for item in found["certificate"]["unidentified"]] == [None, 3]
    assert found["timings"] == {"snap": 0.25, "polish": 0.05, "total": 0.31}
    assert strict(fit(certificate=None).to_dict())["certificate"] is None


def test_results_are_built_by_name_only():
    with pytest.raises(TypeError):
        FitResult(True, "recovered")
    with pytest.raises(TypeError):
        Certificate(True, 0.0, 10)


def test_a_given_model_and_count_win():
    other = TwoLayerNetwork([[1.0]], [1.0])
    result = fit(model=other, n_hidden=3)
    assert result.model is other and result.n_hidden == 3
