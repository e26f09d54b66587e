from __future__ import annotations

import pytest
from safetensors.torch import save_file

from deeplab.errors import CheckpointError, InputNotFoundError
from deeplab.weights import huggingface


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_hf/mobilenetv2_dm035_os16")


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129", "dogs_64x96"])
def test_logits_are_those_of_that_library(case, run):
    assert case.difference(huggingface.source.from_tensors(case.state, what="golden").checkpoint.model, run) < 2e-4


def test_images_are_seen_at_the_size_of_the_official_evaluation(case):
    assert huggingface.source.from_tensors(case.state, what="golden").checkpoint.preprocessing.long_side == 513


def test_safetensors_are_read_too(case, tmp_path):
    save_file(case.state, tmp_path / "model.safetensors")
    converted = huggingface.convert(tmp_path / "model.safetensors").checkpoint
    assert converted.model.arguments["depth_multiplier"] == 0.35
    assert case.difference(converted.model, "dogs_65x65") < 2e-4


def test_damaged_and_missing_files_are_said(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=r"broken\.safetensors: cannot be read as safetensors"):
        huggingface.convert(tmp_path / "broken.safetensors")
    with pytest.raises(InputNotFoundError, match=r"no weights file .*gone\.safetensors"):
        huggingface.convert(tmp_path / "gone.safetensors")
