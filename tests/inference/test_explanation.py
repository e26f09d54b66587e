from dataclasses import replace

import numpy as np
import pytest
import torch

from deeplab.checkpoints import Checkpoint
from deeplab.errors import SettingsError, UnknownNameError
from deeplab.images import color_map
from deeplab.inference import Segmenter, explain, write_explanation
from deeplab.models import create_model

CLASSES = ("background", "cat", "dog")


def segmenter_of(*, precision="float32", **options):
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=3, depth_multiplier=0.25, aspp_channels=8, atrous_rates=(), **options)
    return Segmenter(Checkpoint(model.eval(), CLASSES, color_map(3)), device="cpu", precision=precision)


@pytest.fixture(scope="module")
def segmenter():
    return segmenter_of()


@pytest.fixture(scope="module")
def image(make_image):
    return make_image(40, 56)


def test_every_map_has_the_size_of_the_image_and_lies_in_0_to_1(segmenter, image):
    found = explain(segmenter, image, pixel=(3, 50), classes=CLASSES)
    maps = [found.entropy, found.margin, found.disagreement, found.receptive_field, *found.activations.values()]
    assert len(maps) == 7
    for values in maps:
        assert values.shape == (40, 56)
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1


def test_entropy_and_margin_are_those_of_the_probabilities(segmenter, image):
    found = explain(segmenter, image)
    probabilities = segmenter(image).probabilities.astype(np.float64)
    np.testing.assert_allclose(found.entropy, -(probabilities * np.log(probabilities)).sum(0) / np.log(3), atol=1e-5)
    ordered = np.sort(probabilities, axis=0)
    np.testing.assert_allclose(found.margin, ordered[-1] - ordered[-2], atol=1e-6)


def test_disagreement_counts_the_views_that_differ(segmenter, image):
    labels = segmenter(image).labels
    mirrored = segmenter(np.ascontiguousarray(image[:, ::-1])).labels[:, ::-1]
    found = explain(segmenter, image).disagreement
    assert set(np.unique(found)) <= {np.float32(n / 3) for n in range(4)}
    assert (found[mirrored != labels] > 0).all()
    assert segmenter.scales == (1.0,)


def test_what_speaks_for_a_class_is_the_gradient_weighted_features(segmenter, image):
    """By hand, from the features and the logits' gradient by them."""
    kept = []
    hook = segmenter.model.backbone.register_forward_hook(lambda module, _, features: kept.append(features.res5))
    logits = segmenter.model(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    hook.remove()
    labels = torch.from_numpy(segmenter(image).labels.astype(np.int64))
    (present, *_) = explain(segmenter, image).activations
    index = CLASSES.index(present)
    (gradient,) = torch.autograd.grad(logits[0, index][labels == index].sum(), kept)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    wanted = (weights * kept[0]).sum(1, keepdim=True).relu().detach()
    wanted = segmenter.model.full_size(wanted, (40, 56))[0, 0]
    found = explain(segmenter, image).activations[present]
    np.testing.assert_allclose(found, (wanted / wanted.max()).numpy(), atol=1e-4)


def test_a_receptive_field_lies_around_its_pixel():
    """Without image pooling and atrous branches, and at stride 4, little is seen of the far corner."""
    segmenter = segmenter_of(image_pooling=False, output_stride=8)
    image = np.random.default_rng(0).integers(0, 256, (161, 161, 3)).astype(np.uint8)
    field = explain(segmenter, image, pixel=(20, 20)).receptive_field
    assert field[:60, :60].mean() > 3 * field[-60:, -60:].mean()


def test_models_of_several_scales_are_explained(image):
    found = explain(segmenter_of(scales=(0.5, 1.0)), image)
    assert all(np.isfinite(values).all() for values in found.activations.values())


def test_dropout_is_asked_where_there_is_some(image):
    segmenter = segmenter_of()
    found = explain(segmenter, image, samples=4)
    assert set(np.unique(found.dropout)) <= {np.float32(n / 4) for n in range(5)}
    np.testing.assert_array_equal(found.dropout, explain(segmenter, image, samples=4).dropout)  # seeded
    assert not any(module.training for module in segmenter.model.modules())
    for module in segmenter.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with pytest.raises(SettingsError, match="this model has none"):
        explain(segmenter, image, samples=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_dropout_that_drops_nothing_changes_no_class_in_any_precision(image, precision):
    segmenter = segmenter_of(precision=precision)
    for module in segmenter.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 1e-12
    assert explain(segmenter, image, samples=2).dropout.max() == 0


def test_what_cannot_be_shown_is_said_before_the_image_is_segmented(segmenter, image, monkeypatch):
    monkeypatch.setattr(Segmenter, "__call__", lambda *_: pytest.fail("segmented"))
    with pytest.raises(SettingsError, match="pixel 40,0 lies outside an image of 40 x 56"):
        explain(segmenter, image, pixel=(40, 0))
    with pytest.raises(UnknownNameError, match="no class 'dgo'; did you mean dog"):
        explain(segmenter, image, classes=["dgo"])


def test_the_page_stands_beside_its_pictures(segmenter, image, tmp_path):
    found = explain(segmenter, image, classes=["cat"], pixel=(3, 4))
    page = write_explanation(tmp_path, "photo", found, pixel=(3, 4))
    assert page == tmp_path / "photo.html"
    names = {file.stem.removeprefix("photo_") for file in tmp_path.glob("*.png")}
    assert names == {"cat", "entropy", "margin", "disagreement", "receptive_field"}
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 7
    assert "http" not in text


def test_the_pictures_stay_in_their_folder_whatever_the_classes_are_called(segmenter, image, tmp_path):
    own = explain(segmenter, image, classes=["cat"])
    names = ("../out", "a/b", "a_b", "entropy")
    found = replace(own, activations=dict.fromkeys(names, own.entropy))
    write_explanation(tmp_path / "in", "photo", found, pixel=None)
    assert {file.name for file in tmp_path.iterdir()} == {"in"}
    files = {file.stem.removeprefix("photo_") for file in (tmp_path / "in").iterdir() if file.suffix == ".png"}
    assert files == {"_out", "a_b", "a_b_2", "entropy", "entropy_2", "margin", "disagreement"}
