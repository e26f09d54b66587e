import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deeplab.kernels import _numba
from deeplab.kernels.taps import part_of, taps
from deeplab.kernels.upsample_argmax import sample_argmax, upsample_argmax

SIZES = [
    ((9, 7), (131, 97)),
    ((33, 33), (257, 300)),
    ((5, 6), (5, 6)),
    ((20, 30), (7, 11)),
    ((1, 1), (3, 2)),
    ((1, 5), (4, 9)),
    ((4, 4), (1, 1)),
    ((3, 2), (1, 50)),
]

needs_numba = pytest.mark.skipif(not _numba.COMPILES, reason="numba is not installed")


@pytest.fixture(params=[pytest.param("numba", marks=needs_numba), "numpy"], autouse=True)
def version(request, monkeypatch):
    monkeypatch.setattr(_numba, "COMPILES", request.param == "numba")
    return request.param


def random_logits(num_classes, height, width, seed=0):
    return np.random.default_rng(seed).normal(size=(num_classes, height, width)).astype(np.float32)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("coarse, size", SIZES)
def test_it_is_the_argmax_of_the_resized_logits(coarse, size, align_corners):
    logits = random_logits(21, *coarse)
    labels = upsample_argmax(logits, size, align_corners=align_corners)
    exact = F.interpolate(
        torch.from_numpy(logits)[None].double(), size=size, mode="bilinear", align_corners=align_corners
    )[0].numpy()
    lost = exact.max(axis=0) - np.take_along_axis(exact, labels[None].astype(np.int64), axis=0)[0]
    assert labels.shape == size
    assert lost.max() < 4e-6  # a few units in the last place of logits of up to 4: the sums are float32
    assert (lost > 0).mean() < 1e-3


@needs_numba
@pytest.mark.parametrize("coarse, size", SIZES)
@pytest.mark.parametrize("kind", ["random", "smooth", "far apart"])
def test_the_compiled_version_equals_the_reference(coarse, size, kind, monkeypatch):
    logits = random_logits(21, *coarse, seed=1)
    if kind == "smooth":  # few classes can be on top in a cell
        logits = logits.cumsum(axis=1, dtype=np.float32).cumsum(axis=2, dtype=np.float32)
    elif kind == "far apart":
        logits = (np.sign(logits) * 10.0 ** (9 * np.abs(logits)).clip(max=38)).astype(np.float32)
    monkeypatch.setattr(_numba, "COMPILES", True)
    compiled = upsample_argmax(logits, size, align_corners=False)
    monkeypatch.setattr(_numba, "COMPILES", False)
    np.testing.assert_array_equal(compiled, upsample_argmax(logits, size, align_corners=False))


@pytest.mark.parametrize("align_corners", [False, True])
def test_equal_logits_go_to_the_lowest_class(align_corners):
    logits = np.repeat(random_logits(1, 6, 5), 4, axis=0)
    assert not upsample_argmax(logits, (50, 41), align_corners=align_corners).any()


def test_a_class_that_is_on_top_only_between_the_corners_is_found():
    middle = np.array([[3, 0], [0, 3], [2, 2]], dtype=np.float32)[:, None, :]  # (3 classes, 1, 2)
    labels = upsample_argmax(middle, (1, 8), align_corners=True)
    # at x = 0, 1/7 .. 1 the logits are 3 - 3x, 3x and 2: class 2 leads for 1/3 < x < 2/3
    assert labels.tolist() == [[0, 0, 0, 2, 2, 1, 1, 1]]


def test_one_class_is_everywhere():
    assert not upsample_argmax(random_logits(1, 3, 3), (9, 9), align_corners=False).any()


@pytest.mark.parametrize("num_classes, dtype", [(256, np.uint8), (257, np.uint16)])
def test_labels_have_16_bits_only_where_8_are_too_few(num_classes, dtype):
    logits = random_logits(num_classes, 2, 2)
    logits[-1] = 10
    labels = upsample_argmax(logits, (3, 3), align_corners=False)
    assert labels.dtype == dtype
    assert (labels == num_classes - 1).all()


def test_strips_make_no_difference(monkeypatch):
    logits = random_logits(5, 8, 8)
    whole = upsample_argmax(logits, (64, 64), align_corners=False)
    monkeypatch.setitem(sample_argmax.__globals__, "STRIP", 1)
    np.testing.assert_array_equal(upsample_argmax(logits, (64, 64), align_corners=False), whole)


def test_only_the_numpy_version_works_on_few_rows_to_save_memory(version, monkeypatch):
    strips = []
    monkeypatch.setitem(sample_argmax.__globals__, "STRIP", 1)
    monkeypatch.setitem(sample_argmax.__globals__, "cores", lambda: 2)
    monkeypatch.setitem(
        sample_argmax.__globals__, "part_of", lambda at, strip: strips.append(strip) or part_of(at, strip)
    )
    upsample_argmax(random_logits(5, 8, 8), (64, 64), align_corners=False)
    assert len(strips) == (8 if version == "numba" else 64)


def test_logits_in_any_memory_order_are_left_as_they_are():
    logits = np.asfortranarray(random_logits(3, 4, 5))
    before = logits.copy()
    labels = upsample_argmax(logits, (9, 9), align_corners=False)
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(labels, upsample_argmax(before, (9, 9), align_corners=False))


def test_points_beyond_the_logits_take_those_of_the_edge():
    logits = random_logits(4, 3, 3)
    labels = sample_argmax(logits, np.array([-5.0, 7.0]), np.array([-1.0, 2.5]))
    np.testing.assert_array_equal(labels, logits.argmax(axis=0)[::2, ::2])


def test_no_points_give_no_labels():
    assert sample_argmax(random_logits(2, 3, 3), np.empty(0), np.array([1.0])).shape == (0, 1)


@pytest.mark.parametrize("align_corners", [False, True])
def test_infinite_logits_are_as_good_as_the_largest_numbers(align_corners):
    logits = random_logits(5, 7, 6)
    masked, most, none = logits.copy(), logits.copy(), logits.copy()
    masked[2] = -np.inf
    none[2] = np.nan
    most[3, 2, 3] = np.inf
    for given, like in ((masked, -1e38), (none, -1e38)):
        wanted = logits.copy()
        wanted[2] = like
        labels = upsample_argmax(given, (41, 40), align_corners=align_corners)
        np.testing.assert_array_equal(labels, upsample_argmax(wanted, (41, 40), align_corners=align_corners))
        assert (labels != 2).all()
    full = F.interpolate(torch.from_numpy(most)[None], size=(41, 40), mode="bilinear", align_corners=align_corners)[0]
    known = ~full.isnan().any(dim=0).numpy()  # of torch's, an infinity times 0 is none
    labels = upsample_argmax(most, (41, 40), align_corners=align_corners)
    assert known.mean() > 0.7
    assert (labels != full.argmax(dim=0).numpy())[known].mean() < 1e-3
    assert (labels == 3).any()
    assert not upsample_argmax(np.full((3, 2, 2), -np.inf, np.float32), (5, 5), align_corners=align_corners).any()


@pytest.mark.parametrize(
    "before, loaded", [("", False), ("room.WORTH_LOADING = 50", True), ("room.compile_now()", True)]
)
def test_numba_is_loaded_where_there_is_enough_to_do(before, loaded):
    code = (
        "import sys, numpy as np; from deeplab.kernels import upsample_argmax as room\n"
        f"{before}\n"
        "for _ in range(2): room.upsample_argmax(np.ones((2, 3, 3), np.float32), (6, 6), align_corners=False)\n"
        "print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loaded and find_spec("numba") is not None)


def test_taps_are_the_neighbours_and_the_share_of_the_upper_one():
    lower, upper, fraction = taps(np.array([-1.0, 0.25, 1.0, 2.0, 9.0]), 3)
    assert lower.tolist() == [0, 0, 1, 2, 2]
    assert upper.tolist() == [1, 1, 2, 2, 2]
    assert fraction.tolist() == [0, 0.25, 0, 0, 0]
