"""torch.export's own files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deeplab import runtimes
from deeplab.errors import CheckpointError, SettingsError
from deeplab.inference import Segmenter
from deeplab.runtimes.graph import Graph


@pytest.fixture(scope="module")
def file(file_of):
    return file_of("exported-program")


@pytest.fixture(scope="module")
def exported(file):
    return runtimes.load(file)


@pytest.mark.parametrize("size", [(1, 40), (33, 33), (48, 31), (49, 65)])
def test_it_computes_what_the_model_does_at_any_size(exported, checkpoint, make_image, size):
    segmenters = (Segmenter(each, device="cpu", flip=True) for each in (exported, checkpoint))
    found, expected = (segmenter(make_image(*size)).probabilities for segmenter in segmenters)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums in another order


def test_a_truncated_file_and_one_of_somebody_else_are_told(file, tmp_path):
    path = tmp_path / "x.pt2"
    path.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"not a complete \.pt2 file") as told:
        runtimes.load(path)
    assert "\n" not in str(told.value)
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), str(path))
    with pytest.raises(CheckpointError, match="no description of ours"):
        runtimes.load(path)


def test_eight_bits_are_refused(checkpoint, tmp_path):
    int8 = runtimes.Int8([np.zeros((1, 8, 8, 3), np.uint8)] * 8)
    with pytest.raises(SettingsError, match="int8 is for onnx, openvino and litert"):
        runtimes.save(tmp_path / "x.pt2", Graph(checkpoint), format="exported-program", int8=int8)
