from __future__ import annotations

import pytest
import torch
from torchvision.models import resnet50
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from deeplab.layers import Prepare
from deeplab.weights import vainf


@pytest.fixture(scope="module")
def case(golden):
    return golden("torch_vainf/deeplabv3plus_resnet50_os16")


@pytest.mark.parametrize("run", ["dogs_65x65", "harbour_97x129"])
def test_logits_are_those_of_that_project(case, run):
    model = vainf.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, run, full_size=True) < 2e-4


def test_the_network_on_mobilenetv2_gives_its_logits(golden):
    case = golden("torch_vainf/deeplabv3plus_mobilenet_os16")
    model = vainf.source.from_tensors(case.state, what="golden").checkpoint.model
    assert case.difference(model, "harbour_97x129", full_size=True) < 2e-4
    assert case.difference(model, "dogs_65x65", full_size=True) < 2e-4


@torch.inference_mode()
def test_v3_is_torchvision_s_network_under_that_project_s_names(seeded):
    encoder = resnet50(replace_stride_with_dilation=[False, False, True]).eval()
    head = DeepLabHead(2048, 21, atrous_rates=(6, 12, 18)).eval()
    del encoder.fc
    state = {f"backbone.{name}": tensor for name, tensor in encoder.state_dict().items()}
    state |= {f"classifier.classifier.{name}": tensor for name, tensor in head.state_dict().items()}
    for name, array in seeded.state({name: tensor.shape for name, tensor in state.items()}).items():
        state[name].copy_(torch.from_numpy(array))
    image = torch.from_numpy(seeded.picture(65, 97))
    features = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(image))))
    features = encoder.layer4(encoder.layer3(encoder.layer2(encoder.layer1(features))))
    expected = torch.nn.functional.interpolate(head(features), size=(65, 97), mode="bilinear")

    model = vainf.source.from_tensors(state, what="test").checkpoint.model
    model.prepare = Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
    assert (model(image) - expected).abs().max() / expected.std() < 2e-4
