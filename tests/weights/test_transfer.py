from __future__ import annotations

import numpy as np
import torch

from deeplab.checkpoints import Checkpoint
from deeplab.models import create_model
from deeplab.weights import transfer


def source():
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=3, image_mean=(0.1, 0.2, 0.3))
    return Checkpoint(model, ("sky", "road", "Car"), np.zeros((3, 3), np.uint8))


def test_all_but_the_last_layer_is_copied():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    done = transfer(model, given)
    assert set(done.left) == {"classify.weight", "classify.bias"}
    torch.testing.assert_close(model.backbone.state_dict(), given.model.backbone.state_dict())


def test_rows_of_the_last_layer_follow_the_class_names():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    assert transfer(model, given, classes=("car", "dog")).rows == ("car",)
    torch.testing.assert_close(model.classify.weight[0], given.model.classify.weight[2])


def test_the_normalisation_comes_with_the_weights():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    transfer(model, given)
    assert model.arguments["image_mean"] == [0.1, 0.2, 0.3]
    torch.testing.assert_close(model.prepare.mean, given.model.prepare.mean)


def test_another_backbone_keeps_its_random_start():
    given, model = source(), create_model("deeplabv3", backbone="resnet18", num_classes=2)
    done = transfer(model, given)
    assert not any(name.startswith(("backbone.", "prepare.")) for name in done.copied)
    assert model.arguments["image_mean"] == [0.485, 0.456, 0.406]  # its own backbone's


def test_every_classifier_of_deeplabv2_follows_the_class_names():
    torch.manual_seed(0)
    given = Checkpoint(create_model("deeplabv2", num_classes=2), ("road", "sky"), np.zeros((2, 3), np.uint8))
    model = create_model("deeplabv2", num_classes=3)
    assert transfer(model, given, classes=("cat", "sky", "dog")).rows == ("sky",)
    for ours, theirs in zip(model.classify, given.model.classify, strict=True):
        torch.testing.assert_close(ours.weight[1], theirs.weight[1])
        torch.testing.assert_close(ours.bias[1], theirs.bias[1])
