import pytest
import torch
from torch import nn

from deeplab.models import create_model
from deeplab.training.optimizers import create_optimizer, freeze, parameter_groups


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


def test_each_earlier_stage_learns_by_the_same_factor_slower():
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2)
    found = parameter_groups(model, learning_rate=1, head_multiplier=10, weight_decay=0, layer_decay=0.5)
    rates = {id(parameter): group["lr"] for group in found for parameter in group["params"]}
    expected = {"stem": 1 / 16, "res2": 1 / 8, "res3": 1 / 4, "res4": 1 / 2, "res5": 1}
    for stage, rate in expected.items():
        assert {rates[id(parameter)] for parameter in model.backbone.get_submodule(stage).parameters()} == {rate}
    assert {rates[id(parameter)] for parameter in model.aspp.parameters()} == {10}
    assert len(rates) == len(list(model.parameters()))


def test_biases_of_convolutions_learn_faster_when_asked_but_not_those_of_normalisation():
    model = Small()
    found = parameter_groups(model, learning_rate=1, head_multiplier=10, weight_decay=0.5, bias_multiplier=2)
    rates = {id(parameter): group["lr"] for group in found for parameter in group["params"]}
    assert rates[id(model.classify.bias)] == 20  # as DeepLab v2: head x 10, its bias x 20
    assert rates[id(model.classify.weight)] == 10
    assert rates[id(model.backbone[0].bias)] == 2
    assert rates[id(model.backbone[2].bias)] == rates[id(model.backbone[0].weight)] == 1


def test_an_auxiliary_head_learns_as_the_head_does():
    extra = nn.Conv2d(4, 2, 1)
    found = parameter_groups(Small(), learning_rate=1, head_multiplier=10, weight_decay=0, auxiliary=extra)
    assert {group["lr"] for group in found for one in group["params"] if one is extra.weight} == {10}


def test_a_crf_rnn_learns_as_the_head_does_and_does_not_decay():
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2, crf_rnn=True)
    groups = parameter_groups(model, learning_rate=0.1, head_multiplier=10, weight_decay=0.5)
    found = [
        (group["lr"], group["weight_decay"])
        for parameter in model.crf_rnn.parameters()
        for group in groups
        if any(parameter is each for each in group["params"])
    ]
    assert found == [(1, 0)] * 2


def test_a_crf_rnn_on_a_trained_model_lowers_its_loss():
    """Patches of 8 x 8 pixels, each class of its own brightness."""
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (2, 4, 4)).repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    image = 0.4 * labels[:, None] + 0.2 * torch.rand(2, 3, 32, 32)
    options = {"num_classes": 3, "depth_multiplier": 0.35, "aspp_channels": 32, "output_stride": 8}

    def losses(model, steps):
        optimizer = create_optimizer(
            parameter_groups(model, learning_rate=1e-3, head_multiplier=10, weight_decay=0.01), name="adamw"
        )
        for _ in range(steps):
            loss = torch.nn.functional.cross_entropy(model(image), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()

    plain, ending = (create_model("deeplabv3", crf_rnn=crf_rnn, **options).train() for crf_rnn in (False, True))
    before = list(losses(plain, 10))
    ending.load_state_dict(plain.state_dict(), strict=False)
    assert list(losses(ending, 12))[-1] < 0.7 * before[-1] < 0.7 * before[0]


@pytest.mark.parametrize(
    ("until", "stages"), [("stem", 1), ("res2", 2), ("res4", 4), ("backbone", 5)], ids=lambda value: str(value)
)
def test_frozen_stages_are_those_up_to_the_named_one_and_get_no_group(until, stages):
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2)
    number = freeze(model.backbone, until)
    for index, stage in enumerate(("stem", "res2", "res3", "res4", "res5")):
        kept = [parameter.requires_grad for parameter in model.backbone.get_submodule(stage).parameters()]
        assert kept == [index >= stages] * len(kept)
    assert number == sum(not parameter.requires_grad for parameter in model.parameters())
    groups = parameter_groups(model, learning_rate=1, head_multiplier=1, weight_decay=1, layer_decay=0.5)
    assert all(parameter.requires_grad for group in groups for parameter in group["params"])


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_an_optimizer_keeps_the_rates_of_its_groups(groups, name):
    optimizer = create_optimizer(list(groups.values()), name=name)
    assert sorted(group["lr"] for group in optimizer.param_groups) == [0.1, 0.1, 1.0, 1.0]
