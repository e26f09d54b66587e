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


@torch.inference_mode()
def test_v3_is_v3plus_without_its_decoder(case):
    whole = detectron2.source.from_tensors(case.state, what="golden").checkpoint.model
    renamed = {
        name.replace("decoder.res5.project_conv", "aspp"): tensor
        for name, tensor in case.state.items()
        if ".decoder.res2." not in name
    }
    model = detectron2.source.from_tensors(renamed, what="golden").checkpoint.model
    assert sum(parameter.numel() for parameter in model.parameters()) == 58_163_667  # counted in that project
    x = torch.rand(1, 3, 65, 97)
    expected = whole.classify(whole.aspp(whole.backbone(whole.prepare(x)).res5))
    torch.testing.assert_close(model.coarse_logits(x), expected)


def test_image_pooling_is_over_the_crops_of_its_training(case):
    model = detectron2.source.from_tensors(case.state, what="golden").checkpoint.model
    assert model.aspp.pooling_window == (512 // 16, 1024 // 16)  # pool_kernel_size there
