import numpy as np
import pytest

from deeplab.kernels import _numba
from deeplab.kernels.softmax import softmax

needs_numba = pytest.mark.skipif(not _numba.COMPILES, reason="numba is not installed")


@pytest.fixture(params=[pytest.param("numba", marks=needs_numba), "numpy"], autouse=True)
def version(request, monkeypatch):
    monkeypatch.setattr(_numba, "COMPILES", request.param == "numba")


@pytest.mark.parametrize("num_classes, columns", [(1, 8), (5, 8), (21, 24), (8, 8)])
def test_it_is_the_softmax_of_the_first_columns(num_classes, columns):
    logits = np.random.default_rng(0).normal(scale=10, size=(300, columns)).astype(np.float32)
    result = np.empty_like(logits)
    softmax(logits, num_classes, result)
    exact = np.exp(logits[:, :num_classes].astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(result[:, :num_classes], exact, rtol=4e-6)  # float32 carries logits of 40 to 2e-6
    assert not result[:, num_classes:].any()


def test_in_place_and_for_far_logits():
    logits = np.array([[1e4, -1e4, 0, 9], [-500, -500, -1e30, 9]], np.float32)
    softmax(logits, 3, logits)
    np.testing.assert_allclose(logits, [[1, 0, 0, 0], [0.5, 0.5, 0, 0]], atol=1e-30)
