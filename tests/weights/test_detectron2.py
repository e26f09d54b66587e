from __future__ import annotations

import pickle

import pytest
import torch

from deeplab.weights import detectron2


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_detectron2/deeplabv3plus_r103_os16_globalpool")


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129"])
def test_logits_are_those_of_that_project(case, run):
    model = detectron2.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, key="sem", times=4) < 2e-4


def test_the_file_is_read_as_it_is_published(case, tmp_path):
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"model": {name: tensor.numpy() for name, tensor in case.state.items()}}))
    model = detectron2.convert(path).checkpoint.model
    assert torch.equal(model.classify.weight, case.state["sem_seg_head.predictor.weight"])
