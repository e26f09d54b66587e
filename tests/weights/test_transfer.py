from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deeplab.checkpoints import Checkpoint
from deeplab.errors import SettingsError
from deeplab.models import create_model
from deeplab.weights import reclass, transfer


def own(*names):
    """Classes that are made of themselves."""
    return {name: (name,) for name in names}


def source():
    torch.manual_seed(0)
    model = create_model("deeplabv3", num_classes=3, image_mean=(0.1, 0.2, 0.3))
    return Checkpoint(model, ("sky", "road", "Car"), np.zeros((3, 3), np.uint8))


def test_all_but_the_last_layer_is_copied():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    done = transfer(model, given)
    assert done.left == ()
    torch.testing.assert_close(model.backbone.state_dict(), given.model.backbone.state_dict())


def test_rows_of_the_last_layer_follow_the_class_names():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    assert transfer(model, given, classes=own("car", "dog")).rows == {"car": ("Car",)}
    torch.testing.assert_close(model.classify.weight[0], given.model.classify.weight[2])


def test_a_class_may_be_called_as_in_another_data_set():
    given, model = source(), create_model("deeplabv3", num_classes=3)
    given = Checkpoint(given.model, ("vegetation", "sidewalk", "traffic sign"), given.palette)
    done = transfer(model, given, classes=own("Pavement", "Tree", "SignSymbol"))
    assert done.rows == {"Pavement": ("sidewalk",), "Tree": ("vegetation",), "SignSymbol": ("traffic sign",)}


def test_the_same_name_counts_for_more_than_what_means_the_same():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    given = Checkpoint(given.model, ("vegetation", "tree", "Tree"), given.palette)
    assert transfer(model, given, classes=own("Tree", "trees")).rows == {"Tree": ("Tree",), "trees": ("vegetation",)}
    given = Checkpoint(given.model, ("vegetation", "grass", "Tree"), given.palette)
    assert transfer(model, given, classes=own("tree")).rows == {"tree": ("Tree",)}


def test_a_class_that_two_names_mean_counts_once():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    given = Checkpoint(given.model, ("rider", "bicycle", "sky"), given.palette)
    done = transfer(model, given, classes={"bike": ("rider", "cyclist", "bicycle")})
    assert done.rows == {"bike": ("rider", "bicycle")}


def test_rows_of_a_decoder_that_gives_logits_follow_the_class_names():
    options = {"backbone": "resnet18", "decoder_merge": "sum", "decoder_logits": True}
    torch.manual_seed(0)
    given = Checkpoint(create_model("deeplabv3plus", num_classes=2, **options), ("a", "b"), np.zeros((2, 3), np.uint8))
    model = create_model("deeplabv3plus", num_classes=2, **options)
    assert transfer(model, given, classes=own("b", "c")).rows == {"b": ("b",)}
    for part in ("reduce", "decode"):
        new, old = (getattr(each.decoder[0], part).weight for each in (model, given.model))
        torch.testing.assert_close(new[0], old[1])
        assert not torch.equal(new[1], old[1])


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
    assert transfer(model, given, classes=own("cat", "sky", "dog")).rows == {"sky": ("sky",)}
    for ours, theirs in zip(model.classify, given.model.classify, strict=True):
        torch.testing.assert_close(ours.weight[1], theirs.weight[1])
        torch.testing.assert_close(ours.bias[1], theirs.bias[1])


def test_a_merged_class_starts_with_the_mean_of_the_rows_that_the_source_has():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    done = transfer(model, given, classes={"way": ("road", "pavement"), "rest": ("sky", "car")})
    assert done.rows == {"way": ("road",), "rest": ("sky", "Car")}
    weight = given.model.classify.weight
    torch.testing.assert_close(model.classify.weight[0], weight[1])
    torch.testing.assert_close(model.classify.weight[1], (weight[0] + weight[2]) / 2)


def test_a_class_made_of_strangers_starts_with_the_row_of_its_own_name():
    given, model = source(), create_model("deeplabv3", num_classes=2)
    done = transfer(model, given, classes={"road": ("class 7",), "car": ("sky", "class 9")})
    assert done.rows == {"road": ("road",), "car": ("sky",)}


def test_a_transfer_tells_what_it_copied_and_what_starts_at_random():
    given, model = source(), create_model("deeplabv3plus", num_classes=3)
    done = transfer(model, given, classes={"way": ("road",), "sky": ("sky",), "dog": ("dog",)})
    tensors, rows = done.sentences(("way", "sky", "dog"))
    before_last = [name for name in model.state_dict() if not name.startswith("classify.")]
    assert tensors.startswith(f"copied {len(done.copied)} of {len(before_last)} tensors before the last layer; at")
    assert "; at random start aspp (36 tensors), decoder (30 tensors)" in tensors
    assert rows == "copied the last layer's rows of 2 of 3 classes: way from road, sky; at random start dog"


def test_what_fits_is_copied_between_depth_multipliers():
    given, model = source(), create_model("deeplabv3", num_classes=3, depth_multiplier=0.5)
    done = transfer(model, given, classes=own("sky"))
    assert "aspp.project.conv.weight" in done.copied
    assert "backbone.blocks.16.project.conv.weight" in done.left
    assert done.rows == {"sky": ("sky",)}


@torch.inference_mode()
def test_kept_renamed_and_moved_classes_have_the_logits_that_they_had():
    given = source()
    given.model.eval()
    new = reclass(given, ["vehicle=Car", "sky"])
    assert new.classes == ("vehicle", "sky")
    assert new.model.arguments["num_classes"] == 2
    image = torch.rand(1, 3, 33, 33)
    torch.testing.assert_close(new.model(image), given.model(image)[:, [2, 0]])


def test_classes_of_a_model_keep_their_colours_and_a_merged_one_has_that_of_its_first():
    given = replace(source(), palette=np.arange(9, dtype=np.uint8).reshape(3, 3))
    new = reclass(given, ["vehicle=Car", "ground=road|sky"])
    assert new.palette.tolist() == [[6, 7, 8], [3, 4, 5]]


@torch.inference_mode()
def test_a_merged_class_of_a_model_has_the_mean_of_the_logits():
    given = source()
    given.model.eval()
    new = reclass(given, {"ground": ["road", "Car"], "sky": "sky"})
    image = torch.rand(1, 3, 33, 33)
    logits = given.model(image)
    torch.testing.assert_close(new.model(image)[:, 0], (logits[:, 1] + logits[:, 2]) / 2)
    assert not new.model.training


@pytest.fixture
def with_crf_rnn():
    torch.manual_seed(0)
    model = create_model("deeplabv3", backbone="resnet18", num_classes=3, crf_rnn=True).eval()
    for parameter in model.crf_rnn.parameters():
        torch.nn.init.normal_(parameter)
    return Checkpoint(model, ("sky", "road", "Car"), np.zeros((3, 3), np.uint8))


@torch.inference_mode()
def test_a_crf_rnn_follows_classes_that_move(with_crf_rnn):
    new = reclass(with_crf_rnn, ["vehicle=Car", "sky", "road"])
    image = torch.rand(1, 3, 33, 33)
    torch.testing.assert_close(new.model(image), with_crf_rnn.model(image)[:, [2, 0, 1]])


def test_a_crf_rnn_starts_with_what_is_known_of_its_classes(with_crf_rnn):
    model = create_model("deeplabv3", backbone="resnet18", num_classes=2, crf_rnn=True)
    done = transfer(model, with_crf_rnn, classes={"dog": ("dog",), "thing": ("road", "car")})
    weights, old = model.crf_rnn.kernel_weights, with_crf_rnn.model.crf_rnn.kernel_weights
    assert weights[0].tolist() == [[5, 0], [0, old[0, 1:, 1:].mean().item()]]
    assert not [name for name in (*done.copied, *done.left) if "crf" in name]


def test_a_start_without_a_crf_rnn_leaves_it_as_it_begins():
    model = create_model("deeplabv3", num_classes=3, crf_rnn=True)
    transfer(model, source(), classes=own("sky", "road", "car"))
    assert model.crf_rnn.compatibility.tolist() == torch.eye(3).tolist()


def test_classes_that_swap_their_names_swap_their_rows():
    given = source()
    new = reclass(given, ["sky=road", "road=sky"])
    torch.testing.assert_close(new.model.classify.weight, given.model.classify.weight[[1, 0]])


def test_a_class_that_the_model_has_not_is_told_with_the_nearest():
    with pytest.raises(SettingsError, match=r"^classes: no class 'raod'; did you mean road\?$"):
        reclass(source(), ["raod"])
