import pytest
from torch import nn

from deeplab.models import create_model
from deeplab.training.optimizers import create_optimizer, parameter_groups


class Small(nn.Module):
    """One module of each kind in either half."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4))
        self.classify = nn.Conv2d(4, 2, 1)


@pytest.fixture
def groups():
    found = parameter_groups(Small(), learning_rate=0.1, head_multiplier=10, weight_decay=0.5)
    return {group["name"]: group for group in found}


def test_the_head_learns_faster(groups):
    assert {name: group["lr"] for name, group in groups.items()} == {
        "backbone, decayed": 0.1,
        "backbone, not decayed": 0.1,
        "head, decayed": 1.0,
        "head, not decayed": 1.0,
    }


def test_normalisation_biases_and_depthwise_convolutions_do_not_decay(groups):
    shapes = [tuple(parameter.shape) for parameter in groups["backbone, not decayed"]["params"]]
    assert shapes == [(4,), (4, 1, 3, 3), (4,), (4,), (4,)]
    assert groups["backbone, not decayed"]["weight_decay"] == 0
    assert groups["backbone, decayed"]["weight_decay"] == 0.5


def test_every_parameter_of_a_model_is_in_one_group():
    model = create_model("deeplabv3plus", backbone="mobilenetv2", num_classes=2)
    groups = parameter_groups(model, learning_rate=1, head_multiplier=1, weight_decay=1)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_an_optimizer_keeps_the_rates_of_its_groups(groups, name):
    optimizer = create_optimizer(list(groups.values()), name=name)
    assert sorted(group["lr"] for group in optimizer.param_groups) == [0.1, 0.1, 1.0, 1.0]
