"""Recipes that others published, by name: a table, each figure with its source. Imports nothing heavy.

They are options of `deeplab train`; flags and --config override them. What no option here says is that of a bare run,
but the means that the published recipes do without (the mean of the weights, the limit of the gradient) are off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deeplab.errors import SettingsError, unknown_name
from deeplab.settings import TrainSettings, build, laid_over

__all__ = ["RECIPES", "Recipe", "with_recipe"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What somebody trained with."""

    text: str
    """What it is for, and where it is from."""
    options: Mapping[str, Any]
    """Fields of TrainSettings; `batch_size` is that of all devices together."""
    differs: str
    """What of it is not done here; empty: nothing."""


def with_recipe(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training over those of the recipe that they name, if they name one.

    The batch of a step is shared evenly between the `devices` of all `nodes`. An option that stands in the place of
    another drops that one.

    Raises:
        UnknownNameError: There is no such recipe.
        SettingsError: Its batch cannot be shared evenly and no other is given, or what says so is no such value.
    """
    if options.get("recipe") is None:
        return dict(options)
    known = ("recipe", "devices", "nodes", "model_options")
    asked = {name: options[name] for name in known if options.get(name) is not None}
    settings = build(TrainSettings, {"data": ".", **asked})
    name, processes = str(settings.recipe), settings.processes
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES, listed_by="deeplab models --recipes")
    taken = dict(RECIPES[name].options)
    if "batch_size" not in options:
        taken["batch_size"], rest = divmod(taken["batch_size"], processes)
        if rest:
            raise SettingsError(
                f"recipe {name} takes {RECIPES[name].options['batch_size']} images at a time, which {processes} "
                "devices cannot share evenly; give --batch-size, the images of each"
            )
    if settings.model_options is not None:
        options = {**options, "model_options": {**taken.get("model_options", {}), **settings.model_options}}
    return laid_over(taken, options)


SGD = {
    "optimizer": "sgd",  # momentum 0.9 in all of them
    "power": 0.9,  # "poly" (v2, arXiv 1606.00915, section 4.1); all of them
    "warmup_steps": 0,
    "gradient_clip": 0.0,
    "ema": 0.0,
    "loss": "cross_entropy",
    "class_weights": "none",
    "rare_crops": 0.0,
    "photometric": False,
    "scale": (0.5, 2.0),
    "head_multiplier": 1.0,
}
"""What most of them have in common; a recipe names what it has otherwise."""

TENSORFLOW = {
    **SGD,
    "scale_step": 0.25,  # research/deeplab/train.py, scale_factor_step_size
    "bias_multiplier": 2.0,  # utils/train_utils.py, get_model_gradient_multipliers
    "batch_norm": "train",  # train.py, fine_tune_batch_norm
}
"""The official code, tensorflow/models/research/deeplab."""

V3_VOC = {
    **TENSORFLOW,  # v3, arXiv 1706.05587, section 4.1
    "model": "deeplabv3",
    "backbone": "resnet101",
    "model_options": {"multi_grid": [1, 2, 4]},  # table 5
    "output_stride": 16,
    "crop_size": (513, 513),
    "steps": 30_000,
    "batch_size": 16,
    "learning_rate": 0.007,
    "weight_decay": 1e-4,  # train.py: 0.0001 for ResNet
    "batch_norm_momentum": 3e-4,  # decay 0.9997
}

V3PLUS_VOC = {
    **TENSORFLOW,  # research/deeplab/g3doc/pascal.md; v3+, arXiv 1802.02611, section 4
    "model": "deeplabv3plus",
    "backbone": "xception65",
    "output_stride": 16,
    "atrous_rates": (6, 12, 18),
    "model_options": {"decoder_strides": [4]},
    "crop_size": (513, 513),
    "steps": 30_000,
    "batch_size": 16,  # more than 12 to reproduce it; the demonstration in the page has 1
    "learning_rate": 0.007,  # train.py: on train_aug
    "weight_decay": 4e-5,  # train.py: for Xception and MobileNetV2; 1e-4 for ResNet
}

MMSEGMENTATION = {
    **SGD,
    "model": "deeplabv3plus",  # configs/_base_/models/deeplabv3plus_r50-d8.py
    "backbone": "resnet50",
    "output_stride": 8,  # dilations 1, 1, 2, 4
    "atrous_rates": (12, 24, 36),  # (1, 12, 24, 36) there counts the 1 x 1
    "model_options": {
        "stem_channels": [32, 32, 64],  # ResNet-v1c
        "aspp_channels": 512,
        "aspp_project_kernel_size": 3,
        "low_level_channels": 48,
        "decoder_channels": 512,
        "dropout": 0.1,
        "align_corners": False,
        "pad_to_grid": False,
    },
    "learning_rate": 0.01,  # configs/_base_/schedules/schedule_*k.py
    "end_learning_rate": 1e-4,
    "weight_decay": 5e-4,
    "batch_norm": "sync",
    "batch_norm_momentum": 0.1,  # PyTorch's
    "auxiliary": 0.4,
    "loss_divisor": "all",  # losses/cross_entropy_loss.py: avg_non_ignore is False
    "photometric": True,
}

NORMALISATION = "normalisation and biases do not decay here, there they do"

RECIPES: Mapping[str, Recipe] = {
    "deeplabv2-voc": Recipe(
        text="DeepLab v2 on VOC as kazuto1011/deeplab-pytorch and the authors train it (arXiv 1606.00915)",
        options={
            **SGD,  # kazuto1011/deeplab-pytorch, configs/voc12.yaml and main.py
            "model": "deeplabv2",
            "backbone": "resnet101",
            "output_stride": 8,
            "atrous_rates": (6, 12, 18, 24),
            "model_options": {
                "scales": [0.5, 0.75, 1.0],  # MSC
                "merge": "max",
                "stride_in": "1x1",  # the Caffe ResNet
                "padding": "caffe",
                "align_corners": False,
                "image_mean": [122.675 / 255, 116.669 / 255, 104.008 / 255],  # RGB
                "image_std": [1 / 255, 1 / 255, 1 / 255],
            },
            "crop_size": (321, 321),
            "scale": (0.5, 1.5),
            "scale_step": 0.25,
            "steps": 20_000,
            "batch_size": 5,
            "accumulate": 2,  # iter_size
            "learning_rate": 2.5e-4,
            "head_multiplier": 10.0,
            "bias_multiplier": 2.0,  # the head's biases at 20 times the rate; the backbone has none
            "weight_decay": 5e-4,
            "rate_every": 10,
            "batch_norm": "freeze",
        },
        differs="one loss on the merged scales, there one on each scale too; scale and shift of the normalisation "
        "learn here; its start are the authors' COCO weights, to be given by --weights",
    ),
    "deeplabv3-voc": Recipe(
        text="DeepLab v3 on VOC, first half of the paper's training (arXiv 1706.05587, section 4.1)",
        options=V3_VOC,
        differs="its start are ImageNet weights, to be given by --weights",
    ),
    "deeplabv3-voc-finetune": Recipe(
        text="its second half: output stride 8, normalisation frozen, on train and val",
        options={
            **V3_VOC,
            "output_stride": 8,
            "learning_rate": 0.001,
            "batch_norm": "freeze",
            "train_splits": ("train", "val"),  # trainval
            "val_split": "none",
        },
        differs="its start is the model of the first half, to be given by --weights",
    ),
    "deeplabv3plus-voc": Recipe(
        text="DeepLab v3+ on VOC train_aug, the official code (research/deeplab/g3doc/pascal.md)",
        options=V3PLUS_VOC,
        differs="its start are ImageNet weights, to be given by --weights",
    ),
    "deeplabv3plus-voc-finetune": Recipe(
        text="the same for fine-tuning on VOC train and val (research/deeplab/train.py)",
        options={
            **V3PLUS_VOC,
            "learning_rate": 1e-4,
            "train_splits": ("train", "val"),  # trainval
            "val_split": "none",
        },
        differs="its start is a model of train_aug, to be given by --weights",
    ),
    "deeplabv3plus-cityscapes": Recipe(
        text="DeepLab v3+ on Cityscapes, the official code (research/deeplab/g3doc/cityscapes.md)",
        options={
            **V3PLUS_VOC,
            "crop_size": (769, 769),
            "steps": 90_000,
            "batch_size": 16,  # more than 8 to reproduce it
        },
        differs="its start are ImageNet weights, to be given by --weights",
    ),
    "deeplabv3plus-ade20k": Recipe(
        text="DeepLab v3+ on ADE20K, the official code (research/deeplab/g3doc/ade20k.md)",
        options={
            **V3PLUS_VOC,
            "crop_size": (513, 513),
            "long_side": 513,  # min_resize_value = max_resize_value = 513
            "steps": 150_000,
            "batch_size": 16,  # more than 12 for BatchNorm; the page has 4
        },
        differs="the shorter side is rounded, there down; sides are not brought to k x 16 + 1 (resize_factor), padding "
        "does that; its start are ImageNet weights, to be given by --weights",
    ),
    "torchvision": Recipe(
        text="DeepLab v3 on COCO with VOC's classes, torchvision (references/segmentation)",
        options={
            **SGD,
            "model": "deeplabv3",
            "backbone": "resnet101",
            "output_stride": 8,
            "atrous_rates": (12, 24, 36),
            "model_options": {"head_conv": True, "dropout": 0.5, "align_corners": False, "pad_to_grid": False},
            "crop_size": (480, 480),  # presets.py
            "epochs": 30,
            "passes": 1,
            "batch_size": 32,  # 8 GPUs x 4
            "learning_rate": 0.02,
            "weight_decay": 1e-4,
            "batch_norm": "sync",
            "batch_norm_momentum": 0.1,  # PyTorch's
            "auxiliary": 0.5,
            "auxiliary_multiplier": 10.0,
        },
        differs="images are scaled by 0.5 to 2, there their short side to 260 to 1040 pixels (base 520); "
        f"{NORMALISATION}; its start are ImageNet weights, to be given by --weights",
    ),
    "detectron2": Recipe(
        text="DeepLab v3+ on Cityscapes, detectron2 (projects/DeepLab)",
        options={
            **SGD,  # Base-DeepLabV3-OS16-Semantic.yaml, deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16.yaml
            "model": "deeplabv3plus",
            "backbone": "resnet101",  # "R-103" with the stem of three 3 x 3
            "output_stride": 16,
            "atrous_rates": (6, 12, 18),
            "model_options": {
                "stem_channels": [64, 64, 128],  # STEM_TYPE deeplab
                "multi_grid": [1, 2, 4],
                "dilate_first": True,
                "aspp_separable": False,
                "decoder_separable": False,
                "pooling_norm": False,
                "pooling_align_corners": False,
                "image_pooling_crop_size": [512, 1024],
                "low_level_channels": 48,
                "dropout": 0.1,
                "align_corners": False,
            },
            "crop_size": (512, 1024),
            "scale_step": 0.25,  # short sides 512, 768 .. 2048 of 1024
            "steps": 90_000,
            "batch_size": 16,
            "learning_rate": 0.01,
            "warmup_steps": 1000,  # SOLVER.WARMUP_ITERS
            "weight_decay": 1e-4,  # SOLVER.WEIGHT_DECAY
            "batch_norm": "sync",
            "batch_norm_momentum": 0.1,  # PyTorch's
            "hard_pixels": 0.2,
            "loss_divisor": "all",  # deeplab/loss.py: the mean of the hardest, also of ignored ones among them
        },
        differs="the rate falls from the end of the warm-up, there from step 0; normalisation does not decay here; its "
        "start are its own ImageNet weights R-103, to be given by --weights",
    ),
    "mmsegmentation": Recipe(
        text="DeepLab v3+ on Cityscapes, mmsegmentation (configs/deeplabv3plus, r50-d8, 80k)",
        options={**MMSEGMENTATION, "crop_size": (512, 1024), "steps": 80_000, "batch_size": 8},  # 4 GPUs x 2
        differs=f"no limit on the share of one class in a crop (0.75 there); {NORMALISATION}; its start are ImageNet "
        "weights, to be given by --weights",
    ),
    "mmsegmentation-voc": Recipe(
        text="DeepLab v3+ on VOC train_aug, mmsegmentation (40k)",
        options={**MMSEGMENTATION, "crop_size": (512, 512), "steps": 40_000, "batch_size": 16},  # 4 GPUs x 4
        differs=f"no limit on the share of one class in a crop (0.75 there); {NORMALISATION}; its start are ImageNet "
        "weights, to be given by --weights",
    ),
    "mmsegmentation-ade20k": Recipe(
        text="DeepLab v3+ on ADE20K, mmsegmentation (160k)",
        options={**MMSEGMENTATION, "crop_size": (512, 512), "steps": 160_000, "batch_size": 16},  # 4 GPUs x 4
        differs=f"no limit on the share of one class in a crop (0.75 there); {NORMALISATION}; its start are ImageNet "
        "weights, to be given by --weights",
    ),
    "paddleseg": Recipe(
        text="DeepLab v3+ on Cityscapes, PaddleSeg (configs/deeplabv3p, resnet50, os8, 80k)",
        options={
            **SGD,
            "model": "deeplabv3plus",
            "backbone": "resnet50",
            "output_stride": 8,
            "atrous_rates": (12, 24, 36),  # (1, 12, 24, 36) there counts the 1 x 1
            "model_options": {
                "multi_grid": [1, 2, 4],
                "stem_channels": [32, 32, 64],  # ResNet-vd
                "low_level_channels": 48,
                "align_corners": False,  # for even crops; True for odd ones
                "pad_to_grid": False,
            },
            "crop_size": (512, 1024),
            "scale_step": 0.25,
            "steps": 80_000,
            "batch_size": 8,  # 4 GPUs x 2
            "learning_rate": 0.01,
            "weight_decay": 4e-5,
            "batch_norm": "sync",
            "batch_norm_momentum": 0.1,  # 0.9 as Paddle counts it
            "photometric": True,
        },
        differs="a plain ResNet-50 behind the stem of three 3 x 3, there ResNet-50-vd, whose shortcuts average before "
        f"they stride; {NORMALISATION}; its start are its own ImageNet weights",
    ),
}
