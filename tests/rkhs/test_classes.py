"""Classes of any sensible kind are read, what is no class is refused by name, and values decide."""

import numpy as np
import pytest

from fastmom.rkhs.classes import read_classes

CODES = [1, 0, 2, 1]
KINDS = {
    "integers": [5, -3, 7, 5],
    "whole floats": [5.0, -3.0, 7.0, 5.0],
    "strings": ["b", "a", "c", "b"],
    "bytes": np.array([b"b", b"a", b"c", b"b"]),
    "objects": np.array(["b", "a", "c", "b"], dtype=object),
    "object numbers": np.array([5, -3.0, np.int8(7), 5], dtype=object),
    "one column": [[5], [-3], [7], [5]],
    "small integers": np.array([5, 3, 7, 5], dtype=np.uint8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_classes_of_any_kind(kind):
    classes = read_classes(KINDS[kind], 4)
    np.testing.assert_array_equal(classes.codes, CODES)
    np.testing.assert_array_equal(classes.predict(np.eye(3)[CODES]), np.ravel(KINDS[kind]))
    assert list(classes.names) == sorted(set(np.ravel(KINDS[kind])))


def test_columns_of_the_losses():
    three, two = read_classes(KINDS["strings"], 4), read_classes([True, False, True], 3)
    np.testing.assert_array_equal(three.columns("logistic"), np.eye(3)[CODES])
    np.testing.assert_array_equal(three.columns("hinge"), 2 * np.eye(3)[CODES] - 1)
    for loss in ("logistic", "hinge"):
        np.testing.assert_array_equal(two.columns(loss), [[1], [-1], [1]])
    np.testing.assert_array_equal(two.predict(np.array([[0.1], [-2.0], [0.0]])), [True, False, False])


def test_probabilities_are_those_of_the_loss():
    two, three = read_classes([0, 1], 2), read_classes([0, 1, 2], 3)
    np.testing.assert_allclose(two.probabilities(np.log([[3.0]])), [[0.25, 0.75]])
    np.testing.assert_allclose(three.probabilities(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([0, 1], ValueError, "has 2 rows, the inputs 4"),
        ([0.5, 1, 0, 1], ValueError, r"Y\[0\] is 0.5, no class; loss='squared'"),
        ([0, np.nan, 0, 1], ValueError, r"Y\[1\] is nan, no class"),
        ([0, 1, np.inf, 1], ValueError, r"Y\[2\] is inf, no class"),
        ([1, 1, 1, 1], ValueError, "all rows have the class"),
        ([[0, 1]] * 4, ValueError, "one class for each row"),
        ([], ValueError, "one class for each row"),
        (3, ValueError, "one class for each row"),
        (np.ma.masked_array([0, 1, 0, 1], [0, 1, 0, 0]), ValueError, "masked"),
        ([[0], [1, 2], [3], [4]], ValueError, "cannot be read"),
        (np.array([1j, 0, 1, 1]), TypeError, "complex"),
        (np.array([None, "a", "b", "a"], dtype=object), TypeError, "NoneType, str"),
        (np.array(["2020-01-01"] * 4, dtype="datetime64[D]"), TypeError, "datetime64"),
    ],
)
def test_what_is_no_class_is_refused_by_name(labels, kind, message):
    with pytest.raises(kind, match=message) as caught:
        read_classes(labels, 4)
    assert str(caught.value).startswith("Y")


def test_a_thousand_classes_are_numbers():
    with pytest.raises(ValueError, match="1500 different labels"):
        read_classes(np.arange(1500), 1500)
