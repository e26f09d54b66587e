"""What a converted network takes from its image and divides it by; comparisons of logits put other numbers there."""

from __future__ import annotations

import pytest
import torch

from deeplab.models import create_model
from deeplab.weights import detectron2, huggingface, jfzhang95, kazuto1011, mmsegmentation, smp, torchvision, vainf

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


MOBILENETV2 = {"backbone": "mobilenetv2", "last_channels": 1280}


@pytest.mark.parametrize(
    ("converter", "model", "options", "wanted"),
    [
        (torchvision, "deeplabv3", {"backbone": "mobilenetv3_large"}, IMAGENET),
        (smp, "deeplabv3", MOBILENETV2, IMAGENET),
        (vainf, "deeplabv3", MOBILENETV2, IMAGENET),
        (jfzhang95, "deeplabv3plus", MOBILENETV2, IMAGENET),
        (detectron2, "deeplabv3plus", {"backbone": "resnet101"}, IMAGENET),
        (kazuto1011, "deeplabv2", {"backbone": "resnet101"}, ([0.48108, 0.45753, 0.40787], [1 / 255] * 3)),
        (huggingface, "deeplabv3", MOBILENETV2, ([0.5] * 3, [0.5] * 3)),
    ],
    ids=["torchvision", "smp", "vainf", "jfzhang95", "detectron2", "kazuto1011", "huggingface"],
)
def test_an_image_is_normalised_as_in_the_training_of_the_network(converter, model, options, wanted):
    with torch.device("meta"):
        tensors = create_model(model, num_classes=2, **options).state_dict()
        arguments = create_model(**converter.network(tensors), num_classes=2).arguments
    for name, numbers in zip(("image_mean", "image_std"), wanted, strict=True):
        assert list(arguments[name]) == pytest.approx(numbers, abs=1e-4)


def test_mmsegmentation_normalises_so_where_its_configuration_is_silent():
    arguments = mmsegmentation.configured({"backbone": {}, "decode_head": {}})
    for name, numbers in zip(("image_mean", "image_std"), IMAGENET, strict=True):
        assert arguments[name] == pytest.approx(numbers, abs=1e-4)
