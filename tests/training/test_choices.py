from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from deeplab.checkpoints import Checkpoint
from deeplab.data import open_dataset
from deeplab.errors import SettingsError
from deeplab.images import read_image
from deeplab.layers import ATROUS_RATES
from deeplab.models import create_model
from deeplab.settings import TrainSettings, build
from deeplab.training import choices, config
from deeplab.training.cost import Cost
from deeplab.training.fingerprint import Machine, read_data
from deeplab.training.recipes import with_recipe
from deeplab.training.samples import epochs_of, training_samples
from deeplab.training.start import build_model
from deeplab.weights.encoders import Encoder

CPU = Machine(device="cpu", name="CPU", memory_gb=16, cores=2, threads=2, bf16=False)
GPU = Machine(device="cuda", name="GPU", memory_gb=24, cores=8, threads=8, bf16=True)


SMALL = Cost(multiply_adds=24e3, memory=2.8e3, weights=11_000_000)
"""About that of DeepLab v3+ on MobileNetV2."""


@pytest.fixture(autouse=True)
def _known_cost_and_one_gpu(monkeypatch):
    monkeypatch.setattr(choices, "_cost", lambda settings, start, *, num_classes: SMALL)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)


def choose(settings, machine=None):
    dataset = open_dataset(settings.data)
    data = read_data(training_samples(settings, dataset), dataset)
    return choices.choose(settings, dataset, data, machine or CPU)


@pytest.fixture
def make_data(tmp_path, make_labels):
    """`make_data(sizes, num_classes=2, ...)`: the folder of a data set of these images, val like train."""

    def make(sizes, *, num_classes=2, grey=False, labels=None, val=True):
        root = tmp_path / "data"
        for split in ("train", "val") if val else ("train",):
            for folder in ("images", "masks"):
                (root / split / folder).mkdir(parents=True)
            for index, (height, width) in enumerate(sizes):
                mask = make_labels(height, width, num_classes, seed=index) if labels is None else labels
                image = np.random.default_rng(index).integers(0, 255, (height, width, 1 if grey else 3), np.uint8)
                Image.fromarray(np.broadcast_to(image, (height, width, 3)).copy()).save(
                    root / split / "images" / f"{index:04}.png"
                )
                Image.fromarray(mask).save(root / split / "masks" / f"{index:04}.png")
        (root / "classes.txt").write_text("".join(f"class {number}\n" for number in range(num_classes)))
        return build(TrainSettings, {"data": root})

    return make


def is_closed(settings):
    return all(value not in (None, "auto") for name, value in vars(settings).items() if name not in OPTIONAL)


OPTIONAL = (
    *("recipe", "config", "format", "classes", "val_limit", "batch_norm_momentum", "auxiliary_multiplier", "teacher"),
    *("long_side", "steps", "warmup_steps", "model_options", "atrous_rates", "logger"),
)


def test_nothing_is_left_open_and_every_choice_has_a_reason(make_data):
    before = make_data([(80, 100)] * 3)
    chosen, why = choose(before)
    assert is_closed(chosen)
    changed = {name for name, value in vars(chosen).items() if value != getattr(before, name)}
    assert changed <= set(why)
    assert all(why.values())
    assert (chosen.learning_rate, chosen.backbone, chosen.weights) == (5e-4, "mobilenetv2", "objects")


def test_what_is_given_stays(settings, tmp_path):
    given = settings(tmp_path, learning_rate=0.1, precision="32", class_weights="none", rare_crops=0, scale=1)
    chosen, why = choose(given)
    assert {name for name in why if getattr(given, name) not in (None, "auto", -1)} == set()
    assert (chosen.learning_rate, chosen.crop_size, chosen.passes) == (0.1, (17, 17), 1)


@pytest.mark.parametrize("loss", ["dice", "lovasz", "lovasz+dice"])
def test_a_loss_without_class_weights_can_be_given(settings, tmp_path, loss):
    assert choose(settings(tmp_path, loss=loss))[0].loss == loss


def test_the_crop_is_the_short_side_of_the_images(settings, data, tmp_path):
    dataset = open_dataset(data)
    height, width = np.median([read_image(sample.image).shape[:2] for sample in dataset.split("train")], axis=0)
    side = int(min(height, width))
    assert choose(settings(tmp_path, crop_size=None))[0].crop_size == (side, side)


def test_large_images_are_shrunk(make_data):
    chosen, _ = choose(make_data([(1024, 2048)], labels=np.zeros((1024, 2048), np.uint8), val=False))
    assert (chosen.long_side, chosen.crop_size) == (1024, (257, 257))
    assert chosen.val_split == "none"


def test_thin_things_are_enlarged_to_twice_their_size_at_most(make_data):
    stripes = np.zeros((60, 80), np.uint8)
    stripes[:, ::8] = 1
    stripes[::8] = 1  # 1 pixel thick in both directions
    chosen, why = choose(make_data([(60, 80)] * 2, labels=stripes))
    assert (chosen.long_side, chosen.crop_size) == (160, (120, 120))
    assert "a quarter of the classes are at most" in why["long_side"]


def test_images_of_very_different_sizes_are_brought_to_the_median(make_data):
    chosen, why = choose(make_data([(30, 40), (60, 80), (240, 320)]))
    assert (chosen.long_side, chosen.crop_size) == (80, (60, 60))
    assert "sizes differ by a factor of 8" in why["long_side"]


def test_images_of_8_pixels_get_features_of_stride_4(make_data):
    chosen, _ = choose(make_data([(8, 8)] * 4, labels=np.eye(8, dtype=np.uint8)))
    assert is_closed(chosen)
    assert (chosen.long_side, chosen.crop_size, chosen.output_stride) == (16, (16, 16), 4)


def test_features_are_as_fine_as_the_backbone_can_give_them(settings, tmp_path):
    pytest.importorskip("timm", reason="needs timm, of the extra timm")
    given = settings(tmp_path, crop_size=48, output_stride=None, backbone="timm/resnet10t")
    chosen, why = choose(given)
    assert chosen.output_stride == 8
    assert why["output_stride"] == "for crops of 48 pixels; timm/resnet10t takes no finer one"
    assert choose(replace(given, backbone="timm/mobilenetv3_small_050"))[0].output_stride == 4


@pytest.mark.parametrize(
    ("crop", "stride", "rates"),
    [
        (513, 16, (6, 12, 18)),
        (769, 16, (6, 12, 18)),
        (513, 8, (12, 24, 36)),
        (257, 16, (3, 6, 9)),
        (96, 16, (1, 2, 3)),
        (353, 16, (4, 8, 12)),
    ],
)
def test_rates_reach_half_way_across_the_crop_as_at_513(make_data, crop, stride, rates):
    settings = replace(make_data([(40, 50)]), crop_size=(crop, crop), output_stride=stride, epochs=1)
    assert (choose(settings)[0].atrous_rates or ATROUS_RATES[stride]) == rates


def test_a_head_that_comes_with_the_weights_keeps_its_rates(make_data):
    settings = replace(make_data([(40, 50)]), crop_size=(96, 96), epochs=1, weights="street")
    assert choose(settings)[0].atrous_rates is None


def test_grey_images_of_one_size_keep_their_scale_more_or_less(make_data):
    assert choose(make_data([(40, 50)] * 2, grey=True))[0].scale == (0.7, 1.4)


def test_colour_images_are_scaled_as_in_the_papers(make_data):
    assert choose(make_data([(40, 50)] * 2))[0].scale == (0.5, 2.0)


def test_crops_that_are_less_than_half_of_an_image_see_more_of_it(make_data):
    settings = make_data([(80, 100)] * 2)
    assert choose(replace(settings, crop_size=(40, 40)))[0].scale == (0.5, 2.0)
    chosen, why = choose(replace(settings, crop_size=(39, 39)))
    assert (chosen.scale, why["scale"][:28]) == ((0.4, 1.3), "crops are less than half of ")


def test_of_two_images_an_epoch_takes_many_passes(make_data):
    chosen, _ = choose(make_data([(40, 50)] * 2))
    epochs = epochs_of(chosen, images=2)
    assert (chosen.epochs, epochs.steps * chosen.epochs) == (50, 600)
    assert chosen.passes == 48


def test_a_class_that_is_absent_from_train_is_no_rare_one(make_data):
    chosen, _ = choose(make_data([(40, 50)] * 2, num_classes=3, labels=np.eye(40, 50, dtype=np.uint8)))
    assert chosen.rare_crops == 0


def test_a_class_in_no_image_that_was_looked_at_may_be_a_rare_one(make_data, monkeypatch):
    monkeypatch.setattr("deeplab.training.fingerprint.LOOKED_AT", 1)
    chosen, _ = choose(make_data([(40, 50)] * 2, num_classes=3, labels=np.eye(40, 50, dtype=np.uint8)))
    assert chosen.rare_crops > 0


@pytest.mark.parametrize(("pixels", "crops"), [(40, 0), (2, 1 / 3)])
def test_rare_classes_are_aimed_at_but_not_weighed(make_data, pixels, crops):
    labels = np.zeros((50, 50), np.uint8)
    labels.flat[:pixels] = 1
    chosen, why = choose(make_data([(50, 50)] * 2, labels=labels))
    assert (chosen.class_weights, chosen.rare_crops) == ("none", crops)
    assert f"class 1, has {pixels / 2500:.2%} of the labelled pixels" in why["rare_crops"]


def test_300_classes_are_no_trouble(make_data):
    chosen, _ = choose(make_data([(60, 70)] * 3, num_classes=300))
    assert is_closed(chosen)
    assert chosen.batch_size == 8


def test_one_class_is_refused(make_data):
    with pytest.raises(SettingsError, match=r"one class, 'class 0', of .*; training needs at least two"):
        choose(make_data([(20, 20)], num_classes=1, labels=np.zeros((20, 20), np.uint8)))


def test_a_slow_machine_gets_a_run_of_about_an_hour(make_data):
    settings = replace(make_data([(64, 64)] * 160, val=False), crop_size=(257, 257))
    fast, why = choose(settings, replace(CPU, threads=64))
    assert (fast.epochs, fast.passes, why["epochs"]) == (50, 1, "50 passes over the images")  # 1000 steps
    slow, why = choose(settings, replace(CPU, threads=1))
    steps = epochs_of(slow, images=160).steps * slow.epochs
    seconds = steps * 8 * 257**2 * 3 * SMALL.multiply_adds / choices.SPEED["32"]
    assert seconds == pytest.approx(0.8 * 3600, rel=0.03)  # the rest is for validations
    assert why["epochs"] == "about 1 h on 1 of the cores"


def test_a_cpu_that_computes_in_bf16_gets_larger_crops_and_as_many_steps(make_data):
    labels = np.zeros((400, 600), np.uint8)
    settings = make_data([labels.shape] * 4, labels=labels, val=False)
    chosen, why = choose(settings, replace(CPU, bf16=True))
    assert (chosen.precision, chosen.crop_size) == ("bf16", (353, 353))
    assert why["crop_size"] == "short side of the images (400), at most 353 on cpu in bf16"
    assert choose(replace(settings, precision="32"), replace(CPU, bf16=True))[0].crop_size == (257, 257)


def test_lovasz_is_for_a_head_that_knows_classes(make_data):
    settings = make_data([(40, 40)] * 2, num_classes=3)
    assert choose(settings)[0].loss == "cross_entropy"
    (settings.data / "classes.txt").write_text("background\nperson\nsky\n")
    chosen, why = choose(replace(settings, weights="objects"))
    assert (chosen.head, chosen.loss) == ("start", "cross_entropy+lovasz")
    assert why["loss"] == "the head knows classes, and IoU is what is measured"
    (settings.data / "classes.txt").write_text("background\nnucleus\nsky\n")
    assert choose(replace(settings, weights="objects"))[0].loss == "cross_entropy"


def test_a_large_network_on_a_slow_machine_gets_the_least_steps(make_data, monkeypatch):
    large = replace(SMALL, multiply_adds=7 * SMALL.multiply_adds)
    monkeypatch.setattr(choices, "_cost", lambda settings, start, *, num_classes: large)
    chosen, why = choose(replace(make_data([(64, 64)] * 160, val=False), crop_size=(257, 257)), replace(CPU, threads=1))
    assert epochs_of(chosen, images=160).steps * chosen.epochs == 600
    assert why["epochs"] == "about 1 h on 1 of the cores"


def test_a_slow_machine_validates_as_often_as_a_fifth_of_the_time_allows(make_data, monkeypatch):
    large = replace(SMALL, multiply_adds=60 * SMALL.multiply_adds)
    monkeypatch.setattr(choices, "_cost", lambda settings, start, *, num_classes: large)
    settings = replace(make_data([(64, 64)] * 40), crop_size=(257, 257), long_side=128)
    chosen, why = choose(settings, replace(CPU, threads=1))
    assert (chosen.epochs, chosen.passes) == (9, 13)  # 1.8 s an image, 73 s a validation
    assert why["passes"] == "at most 9 epochs, each with a validation"


def test_a_gpu_takes_larger_crops_and_batches_in_bf16(make_data):
    chosen, why = choose(make_data([(600, 700)]), GPU)
    assert (chosen.crop_size, chosen.batch_size, chosen.accumulate) == ((513, 513), 16, 1)
    assert (chosen.precision, chosen.batch_norm) == ("bf16", "train")
    assert why["batch_size"] == "16 in a step on cuda"


def test_a_small_memory_takes_a_step_in_parts(make_data):
    chosen, why = choose(make_data([(600, 700)]), replace(GPU, memory_gb=2, bf16=False))
    assert chosen.batch_size < 16
    assert chosen.batch_size * chosen.accumulate == 16
    assert why["batch_size"] == "what fits in memory"
    assert why["accumulate"] == "makes a step of 16 images"


def test_a_part_of_the_memory_stays_free(make_data):
    chosen, _ = choose(make_data([(600, 700)]), replace(GPU, memory_gb=3.5, bf16=False))
    assert chosen.batch_size == 2  # 3.7 crops fit in four fifths of it, 4.6 would in all


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({"batch_size": 8}, "train"),
        ({"batch_size": 4}, "freeze"),
        ({"batch_size": 4, "weights": "none"}, "group"),
        ({"batch_size": 4, "batch_norm": "train"}, "train"),
    ],
)
def test_normalisation_follows_the_batch_and_the_start(make_data, changes, policy):
    chosen, _ = choose(replace(make_data([(40, 40)]), **changes))
    assert chosen.batch_norm == policy


def test_several_gpus_share_their_statistics(make_data, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    settings = make_data([(40, 40)])
    chosen, _ = choose(replace(settings, devices=4), GPU)
    assert (chosen.batch_norm, chosen.batch_size, chosen.accumulate) == ("sync", 4, 1)
    chosen, _ = choose(replace(settings, devices=2, nodes=4), GPU)
    assert (chosen.batch_norm, chosen.batch_size, chosen.accumulate) == ("sync", 2, 1)


def test_processes_on_a_cpu_do_not_share_statistics(make_data):
    chosen, _ = choose(replace(make_data([(40, 40)]), devices=2), CPU)
    assert (chosen.batch_norm, chosen.batch_size) == ("freeze", 4)


def test_the_backbone_is_that_of_the_weights(make_data):
    settings = make_data([(40, 40)])
    assert choose(replace(settings, weights="street"))[0].backbone == "mobilenet_edgetpu"
    chosen, why = choose(replace(settings, backbone="resnet18"))
    assert (chosen.weights, why["weights"]) == ("none", "none of the backbone resnet18 are here")


@pytest.mark.parametrize(
    ("classes", "weights", "rates", "multiplier", "known"),
    [
        ("pavement\ntree\nsky\ncat\n", "cityscapes", None, 3.0, "3"),
        ("background\npavement\ntree\nsky\n", "cityscapes", None, 3.0, "3"),
        ("pavement\ntree\nnucleus\ncat\n", "objects", None, 3.0, "1"),
        ("pavement\ntree\nwater\nnucleus\n", "objects", (1, 2, 3), 10.0, "none"),
        ("sky\ncat\ndog\nbird\n", "objects", None, 3.0, "3"),
    ],
)
def test_the_start_is_one_that_knows_most_of_the_classes(make_data, classes, weights, rates, multiplier, known):
    settings = replace(make_data([(96, 96)] * 2, num_classes=4), output_stride=16)
    (settings.data / "classes.txt").write_text(classes)
    chosen, why = choose(settings)
    assert (chosen.weights, chosen.atrous_rates, chosen.head_multiplier) == (weights, rates, multiplier)
    assert chosen.head == ("start" if rates is None else "new")
    assert f"it knows {known} of the classes" in why["weights"]


def test_a_new_head_can_be_asked_for_and_one_of_nothing_cannot(make_data):
    settings = replace(make_data([(96, 96)] * 2), model="deeplabv3", weights="objects", output_stride=16)
    assert choose(settings)[0].head_multiplier == 3.0
    chosen, _ = choose(replace(settings, head="new"))
    assert (chosen.head, chosen.atrous_rates, chosen.head_multiplier) == ("new", (1, 2, 3), 10.0)
    with pytest.raises(SettingsError, match="head start wants weights"):
        choose(replace(settings, weights="none", backbone="mobilenetv2", head="start"))


def test_weights_that_are_given_bring_their_head_whatever_it_knows(make_data):
    settings = replace(make_data([(96, 96)] * 2), weights="objects", output_stride=16)
    chosen, why = choose(settings)
    assert (chosen.atrous_rates, chosen.head_multiplier) == (None, 3.0)
    assert why["head_multiplier"] == "it comes with the weights"
    assert choose(replace(settings, atrous_rates=(1, 2, 3)))[0].head_multiplier == 10.0


@pytest.mark.parametrize(
    ("model", "options", "wanted", "stride"),
    [
        ("deeplabv3", {}, "deeplabv3plus", 16),
        ("deeplabv3", {"head_conv": True, "output_stride": 8}, "deeplabv3", 8),
        ("deeplabv3", {"cascade_blocks": 1, "output_stride": 8}, "deeplabv3", 8),
        ("deeplabv3plus", {"output_stride": 32}, "deeplabv3plus", 16),
        ("deeplabv2", {"output_stride": 8}, "deeplabv2", 8),
        ("deeplabv1", {"backbone": "vgg16", "output_stride": 8}, "deeplabv1", 8),
    ],
)
def test_the_variant_is_that_of_given_weights_unless_another_begins_with_their_head(
    make_data, monkeypatch, model, options, wanted, stride
):
    with torch.device("meta"):
        made = create_model(model, **{"backbone": "resnet18", "num_classes": 2, **options})
    start = Checkpoint(made, ("class 0", "class 1"), np.zeros((2, 3), np.uint8))
    monkeypatch.setattr(choices, "start_from", lambda weights, *, backbone: start)
    given = replace(make_data([(200, 200)]), weights="theirs", batch_size=8, epochs=1, long_side=200)
    chosen, _ = choose(given)
    assert (chosen.model, chosen.output_stride) == (wanted, stride)
    assert choose(replace(given, head="new"))[0].model == "deeplabv3plus"
    assert choose(replace(given, model="deeplabv3"))[0].model == "deeplabv3"


def test_a_crf_rnn_stays_where_the_head_of_its_model_does(make_data, monkeypatch):
    with torch.device("meta"):
        made = create_model("deeplabv3plus", backbone="resnet18", num_classes=2, crf_rnn=True)
    start = Checkpoint(made, ("class 0", "class 1"), np.zeros((2, 3), np.uint8))
    monkeypatch.setattr(choices, "start_from", lambda weights, *, backbone: start)
    given = replace(make_data([(200, 200)]), weights="theirs", batch_size=8, epochs=1)
    chosen, why = choose(given)
    assert (chosen.crf_rnn, why["crf_rnn"]) == (True, "as in theirs")
    assert build_model(chosen, start, num_classes=2).crf_rnn is not None
    assert choose(replace(given, crf_rnn=False))[0].crf_rnn is False
    assert choose(replace(given, head="new"))[0].crf_rnn is False
    assert choose(replace(given, model="deeplabv2"))[0].crf_rnn is False
    assert choose(replace(given, weights="objects", backbone="mobilenetv2", crf_rnn=True))[0].crf_rnn is True


def test_a_classifier_has_no_head_to_begin_with(make_data, monkeypatch):
    encoder = Encoder("resnet18")
    start = Checkpoint(encoder.eval(), (), np.zeros((0, 3), np.uint8))
    monkeypatch.setattr(choices, "start_from", lambda weights, *, backbone: start)
    given = replace(make_data([(200, 200)]), weights="theirs", batch_size=8, epochs=1, long_side=200)
    chosen, _ = choose(given)
    assert (chosen.model, chosen.loss, chosen.head_multiplier) == ("deeplabv3plus", "cross_entropy", 10.0)
    assert build_model(chosen, start, num_classes=2).arguments["backbone"] == "resnet18"


def test_a_gpu_takes_the_best_backbone_whose_weights_are_here(make_data, monkeypatch):
    settings = replace(make_data([(40, 40)]), batch_size=16, epochs=1)
    assert choose(settings, GPU)[0].backbone == "mobilenetv2"
    objects = choices.start_from("objects", backbone="mobilenetv2")
    monkeypatch.setattr(choices, "start_from", lambda weights, *, backbone: objects)
    monkeypatch.setattr(choices, "_is_here", lambda weights: weights != "tf/xception65_coco_voc_trainaug")
    chosen, why = choose(settings, GPU)
    assert (chosen.backbone, chosen.weights) == ("resnet101", "torchvision/deeplabv3_resnet101")
    assert why["backbone"] == "the best whose weights are here"
    assert choose(settings, CPU)[0].backbone == "mobilenetv2"


@pytest.mark.parametrize(
    ("name", "network", "dropped"),
    [
        ("mmsegmentation", {"backbone": "mobilenetv2"}, {"stem_channels"}),
        ("deeplabv2-voc", {"backbone": "mobilenetv2", "batch_norm": "train"}, {"stride_in"}),
        ("deeplabv3-voc", {"backbone": "resnet18"}, {"multi_grid"}),
        ("paddleseg", {"model": "deeplabv3"}, {"low_level_channels"}),
        ("paddleseg", {"model": "deeplabv1"}, {"low_level_channels"}),
        ("paddleseg", {"model_options": {"dropout": 0.3}}, set()),
        ("paddleseg", {"backbone": "resnet18", "model_options": {"multi_grid": [1, 2]}}, set()),
    ],
)
def test_a_recipe_goes_without_its_options_that_another_network_cannot_take(make_data, name, network, dropped):
    options = {"data": make_data([(40, 40)]).data, "recipe": name, "weights": "none", "epochs": 1, **network}
    given = build(TrainSettings, with_recipe(options))
    chosen, why = choose(given)
    left = {option: value for option, value in given.model_options.items() if option not in dropped}
    assert chosen.model_options == left
    assert all(option in why["model_options"] for option in dropped)
    assert build_model(chosen, None, num_classes=2).entry == given.model
    again = build(TrainSettings, with_recipe(chosen.as_dict()))  # as --config and --resume have it
    assert choose(again)[0] == chosen


def test_a_wrong_option_beside_a_recipe_drops_none_of_its_own(make_data):
    options = {"recipe": "mmsegmentation", "model_options": {"aspp": 3}, "weights": "none", "epochs": 1}
    given = build(TrainSettings, with_recipe({"data": make_data([(40, 40)]).data, **options}))
    assert choose(given)[0].model_options == given.model_options


@pytest.mark.parametrize(
    ("name", "options", "momentum"),
    [
        ("deeplabv3-voc", {}, 3e-4),
        ("deeplabv3-voc", {"epochs": 1}, None),
        ("deeplabv3-voc", {"steps": 500}, None),
        ("deeplabv3-voc", {"steps": 500, "batch_norm_momentum": 0.001}, 0.001),
        ("mmsegmentation", {"steps": 500}, 0.1),
    ],
)
def test_the_slow_statistics_of_a_recipe_are_for_its_long_run(make_data, name, options, momentum):
    given = {"data": make_data([(40, 40)]).data, "recipe": name, "weights": "none", **options}
    chosen, why = choose(build(TrainSettings, with_recipe(given)))
    assert chosen.batch_norm_momentum == momentum
    assert ("batch_norm_momentum" in why) == (momentum is None)


def test_a_length_in_steps_has_epochs_to_validate_at(make_data):
    chosen, _ = choose(replace(make_data([(40, 40)] * 4), steps=500, batch_size=4))
    assert (chosen.epochs, chosen.passes) == (None, 10)
    assert chosen.warmup_epochs == 1.0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"warmup_epochs": 4}, "warmup_epochs 4 is longer than the training of 3 epochs"),
        ({"warmup_epochs": None, "warmup_steps": 10}, "warmup_steps 10 is longer than the training of 9 steps"),
        ({"end_learning_rate": 0.1}, "end_learning_rate 0.1 is above the learning rate of 0.0005, which falls to it"),
        ({"validate_every": 4}, "validate_every 4 is longer than the training of 3 epochs"),
        ({"devices": 2, "device": "mps"}, "devices is 2 but mps has 1 here; use --devices 1"),
        ({"devices": 2, "batch_norm": "sync"}, "batch_norm sync is for GPUs, as in PyTorch, but device is cpu; use"),
        ({"freeze": "res3", "weights": "none"}, "freeze res3 would keep random weights, as weights is none; choose"),
        (
            {"batch_norm": "freeze", "weights": "none"},
            "batch_norm freeze would keep statistics that random weights do not",
        ),
        ({"train_splits": "training"}, "no images in split 'training'; there are images in: train, val"),
        ({"val_split": "test"}, "no images in split 'test'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, tmp_path, changes, problem):
    with pytest.raises(ValueError, match=problem):
        choose(settings(tmp_path, **changes))


def test_what_a_run_did_without_is_not_chosen_on_another_device(make_data, tmp_path):
    settings = make_data([(40, 1500)])
    chosen, why = choose(settings, GPU)
    assert chosen.long_side is None
    assert choose(settings, CPU)[0].long_side == 1024
    config.write(tmp_path / "config.yaml", chosen, why)
    dataset = open_dataset(settings.data)
    data = read_data(training_samples(settings, dataset), dataset)
    resumed = replace(chosen, device="cpu", resume=True)
    before = config.read(tmp_path / "config.yaml")
    resumed, _ = choices.choose(resumed, dataset, data, CPU, before=before)
    config.check_same_run(before, resumed)


def test_what_was_chosen_is_not_chosen_anew(settings, tmp_path):
    chosen, _ = choose(settings(tmp_path))
    assert choose(chosen) == (chosen, {})
