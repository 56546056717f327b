"""Networks that scikit-learn trained on real data, hidden and output biases, fewer outputs than neurons."""

from pathlib import Path

import numpy as np
import pytest

import fastmom as fm

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, told) for name in ("diabetes_4", "diabetes_8", "wine_6") for told in (True, False)),
        ("cancer_8", True),
        pytest.param("cancer_8", False, marks=pytest.mark.nightly),
    ],
)
def test_recovered_from_gaussian_rows(name, told):
    with np.load(DATA / f"trained_{name}.npz") as file:
        teacher = fm.TwoLayerNetwork(file["W"], file["A"], file["hidden_bias"], file["output_bias"])
    for seed in range(3):
        X, Y = fm.make_samples(teacher, 4000, rng=seed)
        result = fm.learn_rectified(X, Y, teacher.n_hidden if told else None, bias=True, rng=seed)
        assert result.certificate.certified and result.certificate.residual <= 1e-10
        assert result.n_hidden == teacher.n_hidden and not result.certificate.unidentified
        assert fm.compare(result, teacher).max_error < 1e-10
