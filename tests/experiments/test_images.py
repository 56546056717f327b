"""The images are what they say: outlines taller or wider, regions convex or not, areas alike, seeds repeat."""

import numpy as np
import pytest

from fastmom.experiments.images import SIDE, _hull_area, convex, rectangles


@pytest.mark.parametrize("draw", [rectangles, convex])
def test_images_are_binary_and_repeat(draw):
    X, y = draw(60, rng=3)
    assert X.shape == (60, 784) and set(np.unique(X)) == {0.0, 1.0} and set(np.unique(y)) == {0, 1}
    again, labels = draw(60, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, labels)


def test_rectangles_are_outlines_of_their_class():
    X, y = rectangles(200, rng=0)
    for image, tall in zip(X.reshape(-1, SIDE, SIDE), y, strict=True):
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        h, w = len(rows), len(columns)
        assert abs(h - w) >= 3 and (h > w) == tall and min(h, w) >= 2
        inner = image[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]]
        assert image.sum() == h * w - inner.size and not inner.any()


def test_convex_regions_fill_their_hulls_and_others_do_not():
    X, y = convex(80, rng=1)
    images = X > 0
    missing = _hull_area(images) - images.sum(axis=1)
    assert (missing[y == 0] >= 12).all()
    assert (missing[y == 1] < 12).all()


def test_both_classes_have_the_same_areas():
    X, y = convex(100, rng=2)
    edges = [60, 120, 180, 240, 300, 360]
    tall, other = (np.histogram(X[y == c].sum(axis=1), edges)[0] for c in (0, 1))
    np.testing.assert_array_equal(tall, other)


@pytest.mark.parametrize("draw", [rectangles, convex])
def test_bad_counts_are_refused(draw):
    with pytest.raises(ValueError, match="n: expected at least 1"):
        draw(0)
