"""OpenVINO files; they are made of the ONNX graph, whose tests are in test_onnx.py."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("openvino", reason="needs the extra openvino")
pytest.importorskip("onnxscript", reason="needs the extra openvino")

import onnx
import openvino

from deeplab import runtimes
from deeplab.errors import CheckpointError, SettingsError
from deeplab.inference import Segmenter
from deeplab.runtimes.graph import Graph


@pytest.fixture
def file(file_of):
    return file_of("openvino")


@pytest.fixture
def copied(file, tmp_path):
    for path in (file, file.with_suffix(".bin")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / file.name


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 33), (48, 31), (49, 65)])
def test_it_computes_what_the_model_does_at_any_size(file, checkpoint, make_image, size):
    segmenters = (Segmenter(each, device="cpu", flip=True) for each in (runtimes.load(file), checkpoint))
    found, expected = (segmenter(make_image(*size)).probabilities for segmenter in segmenters)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums in another order


def test_it_carries_what_the_model_does(file, checkpoint):
    segmenter = Segmenter(runtimes.load(file))
    assert segmenter.classes == checkpoint.classes
    assert repr(segmenter) == "Segmenter(deeplabv3plus in OpenVINO, 3 classes, on cpu)"


def test_a_result_stays_when_the_next_image_is_shown(file, make_image):
    network = runtimes.load(file).network
    first = network.coarse_logits(make_image(40, 50)[np.newaxis])
    kept = first.copy()
    network.coarse_logits(make_image(40, 50, 1)[np.newaxis])
    np.testing.assert_array_equal(first, kept)


def test_the_ending_may_be_in_capitals(file_of, checkpoint, tmp_path):
    graph = SimpleNamespace(onnx=onnx.load(file_of("onnx")), description=Graph(checkpoint).description)
    path = tmp_path / "tiny.XML"
    runtimes.save(path, graph, format="openvino")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tiny.XML", "tiny.bin"]
    assert runtimes.load(path).classes == checkpoint.classes


def test_missing_weights_are_told(copied):
    copied.with_suffix(".bin").unlink()
    with pytest.raises(CheckpointError, match=r"its weights, tiny\.bin, are not beside it"):
        runtimes.load(copied)


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_truncated_file_is_told_in_one_line(copied, suffix):
    path = copied.with_suffix(suffix)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="not a complete OpenVINO model") as told:
        runtimes.load(copied)
    assert "\n" not in str(told.value)


def test_a_file_of_somebody_else_is_told(copied):
    copied.write_text(copied.read_text().replace("deeplab value=", "other value="))
    with pytest.raises(CheckpointError, match="no description of ours"):
        runtimes.load(copied)


def test_bfloat16_is_for_processors_that_have_it(file, make_image):
    image = make_image(40, 50)[np.newaxis]
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        exact, rough = (runtimes.load(file, precision=each).network for each in ("float32", "bfloat16"))
        difference = np.abs(rough.coarse_logits(image) - exact.coarse_logits(image)).max()
        assert 0 < difference < 0.1
    else:
        with pytest.raises(SettingsError, match="precision bfloat16: this processor has no instructions for it"):
            runtimes.load(file, precision="bfloat16")


def test_other_precisions_are_refused(file):
    with pytest.raises(SettingsError, match=r"openvino files compute in what they were exported in.*got 'float16'"):
        runtimes.load(file, precision="float16")
