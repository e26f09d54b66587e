from __future__ import annotations

import pytest
import torch

from deeplab.errors import CheckpointError
from deeplab.weights import kazuto1011


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_kazuto1011/deeplabv2_resnet101_msc")


@pytest.fixture(scope="module")
def converted(case):
    return kazuto1011.source.from_tensors(case.state, what="golden").checkpoint


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129", "crowd_161x193"])
def test_logits_are_those_of_that_project(case, converted, run):
    assert case.difference(converted.model, run, bgr=True) < 2e-4  # of the logits' standard deviation


def test_it_knows_its_classes_and_its_normalisation(converted):
    assert converted.classes[15] == "person"
    assert converted.model.align_corners is False  # its main.py enlarges logits so, as its MSC does
    assert converted.model.arguments["image_mean"] == pytest.approx([0.4811, 0.4575, 0.4079], abs=1e-4)


def test_a_tensor_without_a_place_is_named(case):
    with pytest.raises(CheckpointError, match=r"golden: 'base\.extra\.weight' has no place in the model"):
        kazuto1011.source.from_tensors({**case.state, "base.extra.weight": torch.zeros(1)}, what="golden")


def test_a_missing_tensor_is_named(case):
    rest = {name: tensor for name, tensor in case.state.items() if name != "base.layer1.conv1.bn.bias"}
    with pytest.raises(CheckpointError, match=r"1 tensors are missing, backbone\.stem\.norm\.bias for one"):
        kazuto1011.source.from_tensors(rest, what="golden")
