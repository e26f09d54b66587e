import os
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deeplab.kernels import upsample_argmax_gpu
from deeplab.kernels.upsample_argmax import sample_argmax
from deeplab.kernels.upsample_argmax_gpu import sample_argmax_there

CASES = [(3, (2, 3), (5, 9)), (4, (1, 1), (2, 3)), (1, (2, 2), (3, 3)), (2, (4, 5), (2, 3)), (3, (1, 4), (2, 300))]
"""Classes, size of the logits and of the labels."""


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return request.param


def labels_of(logits, rows, columns, device):
    return sample_argmax_there(torch.from_numpy(logits).to(device), rows, columns).cpu().numpy()


def check_case(num_classes, coarse, size, device):
    logits = np.random.default_rng(3).normal(size=(num_classes, *coarse)).astype(np.float32)
    rows, columns = (np.linspace(-0.7, length, points) for length, points in zip(coarse, size, strict=True))
    labels = labels_of(logits, rows, columns, device)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, sample_argmax(logits, rows, columns))


def check_special_numbers(device):
    logits = np.zeros((3, 2, 2), np.float32)
    logits[0], logits[2, 0, 0] = np.nan, np.inf
    points = np.linspace(0, 1, 4)
    labels = labels_of(logits, points, points, device)
    np.testing.assert_array_equal(labels, sample_argmax(logits, points, points))
    assert set(np.unique(labels)) == {1, 2}


def check_no_points(device):
    assert labels_of(np.zeros((2, 3, 3), np.float32), np.empty(0), np.array([1.0]), device).shape == (0, 1)


@pytest.mark.parametrize("case", CASES)
def test_they_are_the_labels_of_the_kernel_for_numpy(case, device):
    check_case(*case, device)


def test_equal_logits_go_to_the_lowest_class_and_no_number_is_the_least(device):
    check_special_numbers(device)


def test_no_points_give_no_labels(device):
    check_no_points(device)


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_cell_of_which_one_corner_differs_is_looked_into(corner, device):
    logits = np.zeros((2, 2, 2), np.float32)
    logits[0] = 1
    logits[(1, *corner)] = 3
    points = np.linspace(0, 1, 9)
    labels = labels_of(logits, points, points, device)
    np.testing.assert_array_equal(labels, sample_argmax(logits, points, points))
    assert labels.sum() > 4


@pytest.mark.parametrize(("num_classes", "dtype"), [(256, np.uint8), (257, np.int32)])
def test_labels_have_32_bits_only_where_8_are_too_few(num_classes, dtype, device):
    logits = np.zeros((num_classes, 2, 2), np.float32)
    logits[-1] = 10
    points = np.linspace(0, 1, 3)
    labels = labels_of(logits, points, points, device)
    assert labels.dtype == dtype
    assert (labels == num_classes - 1).all()


def test_more_classes_than_8_bits_count_come_in_32(monkeypatch):
    logits = np.random.default_rng(4).normal(size=(300, 3, 4)).astype(np.float32)
    rows, columns = np.linspace(0, 2, 9), np.linspace(0, 3, 8)
    monkeypatch.setattr(upsample_argmax_gpu, "STRIP", 300 * 8 * 2)  # two rows
    labels = labels_of(logits, rows, columns, "cpu")
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, sample_argmax(logits, rows, columns))


def test_triton_works_on_the_gpu_of_the_logits_whichever_is_the_current_one(monkeypatch):
    class OnGPU(torch.Tensor):
        """It says so."""

        is_cuda = True

    def fill(labels, pixels, winners, down, across):
        assert told == [f"on {logits.device}"]
        upsample_argmax_gpu.fill(labels, pixels, winners, down, across)

    @contextmanager
    def current(device):
        told.append(f"on {device}")
        yield
        told.append("back")

    logits, told = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).as_subclass(OnGPU), []
    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(upsample_argmax_gpu, "find_spec", lambda _: "found")
    triton = SimpleNamespace(fill_by_triton=fill)
    monkeypatch.setitem(sys.modules, "deeplab.kernels._upsample_argmax_triton", triton)
    points = np.linspace(0, 3, 7)
    labels = sample_argmax_there(logits, points, points)
    np.testing.assert_array_equal(labels, sample_argmax(logits.as_subclass(torch.Tensor).numpy(), points, points))
    assert told[1:] == ["back"]


def test_tritons_interpreter_gives_the_same():
    pytest.importorskip("triton", reason="Triton comes with PyTorch for CUDA")
    environment = os.environ | {"TRITON_INTERPRET": "1"}  # read when Triton is loaded
    subprocess.run([sys.executable, __file__], env=environment, check=True, timeout=300)


if __name__ == "__main__":
    from deeplab.kernels._upsample_argmax_triton import fill_by_triton

    upsample_argmax_gpu.fill = fill_by_triton
    for case in CASES:
        check_case(*case, "cpu")
    check_special_numbers("cpu")
    check_no_points("cpu")
