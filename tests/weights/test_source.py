from __future__ import annotations

import pytest
import torch
from torch import nn

from deeplab.errors import CheckpointError, SettingsError
from deeplab.images import color_map
from deeplab.models import create_model
from deeplab.weights._source import Source, fill, with_names


@pytest.mark.parametrize(
    ("bias", "problem"),
    [
        (torch.zeros(4).to_sparse(), "bias holds float32, wanted plain floats"),
        (torch.zeros(4, dtype=torch.bool), "bias holds bool"),
        (torch.zeros(4, dtype=torch.complex64), "bias holds complex64"),
        (torch.full((4,), -torch.inf, dtype=torch.bfloat16), "bias has values that are not finite"),
    ],
)
def test_a_layer_takes_plain_finite_floats_only(bias, problem):
    with pytest.raises(CheckpointError, match=f"x: {problem}"):
        fill(nn.Conv2d(3, 4, 1), {"weight": torch.zeros(4, 3, 1, 1), "bias": bias}, what="x")


SMALL = {"depth_multiplier": 0.25, "output_stride": 32}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deeplabv3", {"aspp_channels": 8, "atrous_rates": ()}),
        ("deeplabv2", {}),  # the sum of several classifiers
        ("deeplabv3plus", {"aspp_channels": 8, "atrous_rates": (), "decoder_merge": "sum", "decoder_logits": True}),
    ],
)
@torch.inference_mode()
def test_one_logit_becomes_two_classes_whose_softmax_is_its_sigmoid(name, options):
    theirs = create_model(name, num_classes=1, **SMALL, **options).eval()
    source = Source(title="ours", rules=((r"", ""),), network=lambda _: {"name": name, **SMALL, **options})
    state = {key: tensor for key, tensor in theirs.state_dict().items() if not key.startswith("prepare")}
    checkpoint = source.from_tensors(state, what="x").checkpoint
    image = torch.rand(1, 3, 40, 50)
    probabilities = checkpoint.model(image).softmax(dim=1)
    torch.testing.assert_close(probabilities[:, 1:], theirs(image).sigmoid(), atol=1e-6, rtol=0)
    assert checkpoint.classes == ("background", "object")
    assert len(checkpoint.palette) == 2


PUBLISHED = {"aspp_channels": 8, "backbone": "resnet18", "multi_grid": (1, 2)}


@pytest.mark.parametrize(
    ("num_classes", "told", "assumed"),
    [
        (3, {}, {"output_stride": 16, "atrous_rates": (6, 12, 18), "multi_grid": (1, 2), "long_side": 513}),
        (3, {"output_stride": 8}, {"atrous_rates": (12, 24, 36), "multi_grid": (1, 2), "long_side": 513}),
        (
            19,
            {"output_stride": 8, "atrous_rates": None, "multi_grid": (2, 4)},
            {"classes": "Cityscapes", "long_side": 513},
        ),
        (
            1,
            {"atrous_rates": (6, 12, 18), "multi_grid": None},
            {"classes": "one logit", "output_stride": 16, "long_side": 513},
        ),
    ],
)
def test_what_a_file_does_not_tell_is_told_as_assumed(num_classes, told, assumed):
    source = Source(
        title="ours",
        rules=((r"", ""),),
        network=lambda _: {"name": "deeplabv3", **PUBLISHED},
        long_side=lambda _: 513,
    )
    model = create_model("deeplabv3", num_classes=num_classes, **PUBLISHED)
    state = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("prepare")}
    assert source.from_tensors(state, what="x", **told).assumed == assumed


def converted(num_classes):
    source = Source(title="ours", rules=((r"", ""),), network=lambda _: {"name": "deeplabv3", **PUBLISHED})
    model = create_model("deeplabv3", num_classes=num_classes, **PUBLISHED)
    state = {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("prepare")}
    return source.from_tensors(state, what="x")


@pytest.mark.parametrize(("num_classes", "title"), [(19, "Cityscapes"), (1, "one logit"), (3, None)])
def test_names_that_are_given_take_the_place_of_assumed_ones_with_their_colours(num_classes, title):
    before = converted(num_classes)
    assert before.assumed.get("classes") == title
    number = len(before.checkpoint.classes)
    given = with_names(before, tuple(f"crop {index}" for index in range(number)), what="x")
    assert given.checkpoint.classes[-1] == f"crop {number - 1}"
    assert given.checkpoint.palette.tolist() == color_map(number).tolist()
    assert given.assumed == {name: value for name, value in before.assumed.items() if name != "classes"}


def test_assumed_names_that_are_given_keep_their_colours():
    before = converted(19)
    given = with_names(before, before.checkpoint.classes, what="x")
    assert given.checkpoint.palette.tolist() == before.checkpoint.palette.tolist()


def test_one_name_for_one_logit_is_told_that_it_has_two_classes():
    with pytest.raises(SettingsError, match="1 but x has 2 classes; name both, the background first, as of one logit"):
        with_names(converted(1), ("building",), what="x")
