from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deeplab import checkpoints
from deeplab.catalog import entries
from deeplab.checkpoints import Checkpoint
from deeplab.crf import CRFRNN
from deeplab.errors import SettingsError, UnknownNameError
from deeplab.models import create_model

MODELS = list(entries("models"))
BACKBONES = list(entries("backbones"))


PAIRS = [
    *(("deeplabv3plus", backbone, True) for backbone in BACKBONES),
    *((name, backbone, True) for name in MODELS for backbone in ("vgg16", "resnet18", "mobilenetv3_small")),
    *((name, "mobilenetv2", False) for name in MODELS),
]
"""Every model and every backbone, but not each with each, which takes minutes."""


@pytest.mark.parametrize(("name", "backbone", "align_corners"), dict.fromkeys(PAIRS))
@torch.inference_mode()
def test_logits_have_the_size_of_any_image(name, backbone, align_corners):
    model = create_model(name, backbone=backbone, num_classes=3, align_corners=align_corners).eval()
    for size in ((1, 1), (1, 40), (33, 33), (48, 31)):
        assert model(torch.rand(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_gets_a_gradient_from_a_batch_of_one(name):
    torch.manual_seed(0)
    model = create_model(name, backbone="mobilenetv2", num_classes=3).train()
    model(torch.rand(1, 3, 65, 65)).square().sum().backward()
    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 300), (8, 2)])
@torch.inference_mode()
def test_any_number_of_channels_and_classes(name, channels, classes):
    model = create_model(name, in_channels=channels, num_classes=classes).eval()
    assert model(torch.rand(2, channels, 20, 20)).shape == (2, classes, 20, 20)


@pytest.mark.parametrize("name", MODELS)
def test_training_on_a_crop_of_one_pixel_does_not_fail(name):
    assert create_model(name).train()(torch.rand(1, 3, 1, 1)).shape == (1, 21, 1, 1)


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_the_same_weights_work_at_another_output_stride(name):
    coarse, fine = (create_model(name, output_stride=stride, num_classes=2).eval() for stride in (16, 8))
    fine.load_state_dict(coarse.state_dict())
    assert fine(torch.rand(1, 3, 33, 33)).shape == (1, 2, 33, 33)


@torch.inference_mode()
def test_a_shifted_image_gives_shifted_logits_at_any_size():
    # away from the borders, and by a whole output stride, also where the size is not k * 16 + 1
    torch.manual_seed(0)
    model = create_model("deeplabv3", image_pooling=False, atrous_rates=(), num_classes=2).eval()
    image = torch.rand(1, 3, 480, 480)
    whole, part = model(image), model(image[..., 16:460, 16:460])
    middle = slice(210, 240)
    torch.testing.assert_close(
        part[..., middle, middle], whole[..., 226:256, 226:256], atol=2e-2 * whole.std().item(), rtol=0
    )


@pytest.mark.parametrize("merge", ["max", "mean"])
@pytest.mark.parametrize("align_corners", [True, False])
@torch.inference_mode()
def test_the_logits_of_several_scales_are_merged_at_the_size_of_the_largest(merge, align_corners):
    torch.manual_seed(0)
    one = create_model("deeplabv3", backbone="resnet18", num_classes=2, align_corners=align_corners).eval()
    three = create_model(
        "deeplabv3", backbone="resnet18", num_classes=2, align_corners=align_corners, scales=(0.5, 1.25, 1), merge=merge
    ).eval()
    three.load_state_dict(one.state_dict())
    image = torch.rand(1, 3, 65, 97)
    x = one.prepare(image)
    if align_corners:  # from corner to corner: 64 / 2 + 1, 1.25 * 64 + 1 and so on
        sizes = ((33, 49), (81, 121))
        half, larger = (F.interpolate(x, size=size, mode="bilinear", align_corners=True) for size in sizes)
    else:
        half, larger = (F.interpolate(x, scale_factor=scale, mode="bilinear") for scale in (0.5, 1.25))
        assert (half.shape[-2:], larger.shape[-2:]) == ((32, 48), (81, 121))
    half, large, same = (one.classify(one.aspp(one.backbone(each).res5)) for each in (half, larger, x))
    assert large.shape[-2:] == (6, 8)
    resized = [F.interpolate(each, size=(6, 8), mode="bilinear", align_corners=align_corners) for each in (half, same)]
    views = torch.stack([large, *resized])
    expected = views.amax(dim=0) if merge == "max" else views.mean(dim=0)
    torch.testing.assert_close(three.coarse_logits(image), expected)
    assert three(image).shape == (1, 2, 65, 97)


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_every_model_can_see_several_scales_at_any_size(name):
    model = create_model(name, num_classes=2, scales=(0.5, 0.75, 1.0)).eval()
    assert model.arguments["scales"] == [0.5, 0.75, 1.0]
    for size in ((1, 1), (40, 17)):
        assert model(torch.rand(1, 3, *size)).shape == (1, 2, *size)


@pytest.fixture
def with_crf_rnn():
    """A model that ends in a CRF-RNN, and the same without."""
    torch.manual_seed(0)
    plain, ending = (
        create_model("deeplabv3", backbone="resnet18", num_classes=3, crf_rnn=end) for end in (False, True)
    )
    ending.load_state_dict(plain.state_dict(), strict=False)
    return plain.eval(), ending.eval()


@pytest.mark.parametrize("size", [(1, 1), (40, 17), (33, 49)])
@torch.inference_mode()
def test_a_crf_rnn_refines_the_logits_of_every_pixel_by_the_image_in_grey_levels(with_crf_rnn, size):
    plain, ending = with_crf_rnn
    image = torch.rand(2, 3, *size)
    refined = CRFRNN(3).eval()(255 * image, plain(image))
    torch.testing.assert_close(ending(image), refined)
    torch.testing.assert_close(ending.coarse_logits(image), refined)
    assert ending.grid_size(size) == size


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_end_in_a_crf_rnn_and_gives_all_of_it_a_gradient(name):
    torch.manual_seed(0)
    model = create_model(name, num_classes=3, crf_rnn=True, scales=(0.5, 1.0)).train()
    model(torch.rand(1, 3, 40, 31)).square().sum().backward()
    assert [key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_logits_that_are_no_numbers_go_past_the_crf_rnn_to_who_asked_for_them(with_crf_rnn):
    _, ending = with_crf_rnn
    torch.nn.init.constant_(ending.classify.bias, float("nan"))
    assert ending(torch.rand(1, 3, 9, 9)).isnan().all()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"crf_rnn": 5}, "crf_rnn wants true or false, without quotes, got 5"),
        ({"scales": ()}, "scales want at least one number, each above 0"),
        ({"scales": (0.5, 0)}, "scales want at least one number, each above 0"),
        ({"merge": "avg"}, "merge wants max or mean, got 'avg'"),
    ],
)
def test_scales_that_cannot_work_are_refused(options, problem):
    with pytest.raises(SettingsError, match=problem):
        create_model("deeplabv3", **options)


def test_a_misspelt_model_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean deeplabv3"):
        create_model("deeplab3")


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(SettingsError, match="aspp_channels"):
        create_model("deeplabv3", aspp_channel=3)


def test_the_backbones_normalisation_is_averaged_for_another_number_of_channels():
    model = create_model("deeplabv3", backbone="resnet18", in_channels=2)
    assert model.arguments["image_mean"] == pytest.approx([(0.485 + 0.456 + 0.406) / 3] * 2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"image_mean": (0.1, 0.2, 0.3)}, "image_mean has 3 values but the image has 4 channels; give one for each"),
        ({"image_std": ()}, "image_std has 0 values"),
        ({"image_std": (1, 1, 0, 1)}, "image_std has to be above 0"),
    ],
)
def test_a_normalisation_that_does_not_fit_the_image_is_refused(options, problem):
    with pytest.raises(SettingsError, match=problem):
        create_model("deeplabv3", in_channels=4, **options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"num_classes": "21"}, "num_classes wants a whole number, got '21'"),
        ({"num_classes": 2.5}, "num_classes wants a whole number, got 2.5"),
        ({"in_channels": None}, "in_channels wants a whole number, got None"),
        ({"output_stride": 16.0}, "output_stride wants a whole number, got 16.0"),
        ({"backbone": 5}, "backbone wants a text, got 5"),
        *(
            ({name: value}, f"{name} wants whole numbers of at least 1, got {value}")
            for name in ("aspp_channels", "low_level_channels", "decoder_channels", "last_channels")
            for value in (0, -1)
        ),
        ({"backbone": "resnet18", "stem_channels": [64, 0]}, "stem_channels wants whole numbers of at least 1"),
        *(({"dropout": value}, f"dropout wants a number from 0 to below 1, got {value}") for value in (-0.1, 1, 1.5)),
        ({"dropout": "much"}, "dropout wants a number, got 'much'"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options, problem):
    with pytest.raises(SettingsError, match=re.escape(problem)):
        create_model("deeplabv3plus", **options)


def test_numbers_of_numpy_are_written_to_a_file(tmp_path):
    model = create_model(
        "deeplabv3",
        num_classes=np.int64(2),
        output_stride=np.int32(16),
        in_channels=np.uint8(3),
        scales=[np.float32(1)],
        atrous_rates=tuple(np.array([1, 2])),
        dropout=np.float32(0.5),
    )
    checkpoints.save(tmp_path / "x.safetensors", Checkpoint(model, ("a", "b"), np.zeros((2, 3), np.uint8)))
    assert checkpoints.load(tmp_path / "x.safetensors").model.arguments["atrous_rates"] == [1, 2]


def test_no_classes_is_refused():
    with pytest.raises(SettingsError, match="num_classes"):
        create_model("deeplabv3", num_classes=0)


@pytest.mark.parametrize("name", MODELS)
def test_group_norm_trains_on_one_pixel_and_is_built_again_by_its_arguments(name):
    model = create_model(name, num_classes=3, norm="group").train()
    model(torch.rand(1, 3, 1, 1)).sum().backward()
    again = create_model(model.entry, **model.arguments)
    again.load_state_dict(model.state_dict())
