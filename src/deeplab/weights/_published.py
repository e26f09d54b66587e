"""The checkpoints that others published and that `find` fetches by name: a table, with what their publishers say.

A name is SYSTEM/NAME, where NAME is the publisher's own. Every address, size, score and checksum stands in the page or
the program that it is listed with; what is not said there is None here. Of models only: a backbone that was trained on
ImageNet alone is nothing to `load`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Published", "published"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint that somebody published."""

    name: str
    """What `deeplab.load` takes."""
    source: str
    """The system as `deeplab convert --source` calls it."""
    file: str
    """What the publisher calls the file."""
    url: str | None
    """Where the file is; None: only a person gets at it, from `page`."""
    page: str
    """Where the publisher describes it."""
    network: str
    data: str
    """What it was trained on, in order."""
    num_classes: int
    output_stride: int
    """That of the evaluation."""
    miou: float | None
    """In percent, as published; scores with different `measured` are not to be compared."""
    measured: str
    """On what, and how."""
    megabytes: float | None
    """Size of the file."""
    licence: str
    """Of the project that publishes it; the images that it was trained on have terms of their own."""
    sha256: str = ""
    """Hexadecimal digits that the file's SHA-256 begins with."""


def published() -> dict[str, Published]:
    """Name -> checkpoint, system by system."""
    return PUBLISHED


VOC_VAL, CITYSCAPES_VAL, ADE20K_VAL = "VOC 2012 val", "Cityscapes val", "ADE20K val"

COCO_VOC = "ImageNet, COCO, VOC 2012 train_aug"
COCO_VOC_TRAINVAL = f"{COCO_VOC}, trainval"
CITYSCAPES = "Cityscapes train"


def _tensorflow(
    name: str,
    file: str,
    network: str,
    data: str,
    *,
    num_classes: int = 21,
    output_stride: int = 16,
    miou: float,
    on: str = VOC_VAL,
    how: str = "one scale",
    megabytes: float,
) -> Published:
    """One of the official model zoo. Its links say http; the same files answer on https."""
    return Published(
        name=f"tf/{name}",
        source="tensorflow",
        file=f"{file}.tar.gz",
        url=f"https://download.tensorflow.org/models/{file}.tar.gz",
        page="https://github.com/tensorflow/models/blob/master/research/deeplab/g3doc/model_zoo.md",
        network=network,
        data=data,
        num_classes=num_classes,
        output_stride=output_stride,
        miou=miou,
        measured=f"{on}, {how}, stride {output_stride}",
        megabytes=megabytes,
        licence="Apache-2.0",
    )


MOBILENETV2, XCEPTION65 = "DeepLab v3, MobileNetV2", "DeepLab v3+, Xception-65"
HALF_MOBILENETV2 = "DeepLab v3, MobileNetV2 of half the width"
XCEPTION71 = "DeepLab v3+, Xception-71 with the dense prediction cell"
SCALES = "scales 0.5 to 1.75, flipped too"

TENSORFLOW = (
    _tensorflow(
        "mobilenetv2_dm05_coco_voc_trainaug", "deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01",
        HALF_MOBILENETV2, COCO_VOC, miou=70.19, megabytes=7.6,
    ),
    _tensorflow(
        "mobilenetv2_dm05_coco_voc_trainval", "deeplabv3_mnv2_dm05_pascal_trainval_2018_10_01",
        HALF_MOBILENETV2, COCO_VOC_TRAINVAL, output_stride=8, miou=71.83, on="VOC 2012 test", megabytes=7.6,
    ),
    _tensorflow(
        "mobilenetv2_coco_voc_trainaug", "deeplabv3_mnv2_pascal_train_aug_2018_01_29",
        MOBILENETV2, COCO_VOC, miou=75.32, megabytes=23,
    ),
    _tensorflow(
        "mobilenetv2_coco_voc_trainval", "deeplabv3_mnv2_pascal_trainval_2018_01_29",
        MOBILENETV2, COCO_VOC_TRAINVAL, output_stride=8, miou=80.25, on="VOC 2012 test", how=SCALES, megabytes=23,
    ),
    _tensorflow(
        "xception65_coco_voc_trainaug", "deeplabv3_pascal_train_aug_2018_01_04",
        XCEPTION65, COCO_VOC, miou=82.20, megabytes=439,
    ),
    _tensorflow(
        "xception65_coco_voc_trainval", "deeplabv3_pascal_trainval_2018_01_04",
        XCEPTION65, COCO_VOC_TRAINVAL, output_stride=8, miou=87.80, on="VOC 2012 test", how=SCALES, megabytes=439,
    ),
    _tensorflow(
        "mobilenetv2_coco_cityscapes_trainfine", "deeplabv3_mnv2_cityscapes_train_2018_02_05",
        MOBILENETV2, f"ImageNet, COCO, {CITYSCAPES}", num_classes=19, miou=70.71, on=CITYSCAPES_VAL, megabytes=23,
    ),
    _tensorflow(
        "mobilenetv3_large_cityscapes_trainfine", "deeplab_mnv3_large_cityscapes_trainfine_2019_11_15",
        "DeepLab v3+, MobileNetV3 large", CITYSCAPES, num_classes=19, output_stride=32, miou=72.41, on=CITYSCAPES_VAL,
        megabytes=17,
    ),
    _tensorflow(
        "mobilenetv3_small_cityscapes_trainfine", "deeplab_mnv3_small_cityscapes_trainfine_2019_11_15",
        "DeepLab v3+, MobileNetV3 small", CITYSCAPES, num_classes=19, output_stride=32, miou=68.99, on=CITYSCAPES_VAL,
        megabytes=5,
    ),
    _tensorflow(
        "xception65_cityscapes_trainfine", "deeplabv3_cityscapes_train_2018_02_06",
        XCEPTION65, f"ImageNet, {CITYSCAPES}", num_classes=19, miou=78.79, on=CITYSCAPES_VAL, megabytes=439,
    ),
    _tensorflow(
        "xception71_dpc_cityscapes_trainfine", "deeplab_cityscapes_xception71_trainfine_2018_09_08",
        XCEPTION71, f"ImageNet, COCO, {CITYSCAPES}", num_classes=19, miou=80.31, on=CITYSCAPES_VAL, megabytes=445,
    ),
    _tensorflow(
        "xception71_dpc_cityscapes_trainval", "deeplab_cityscapes_xception71_trainvalfine_2018_09_08",
        XCEPTION71, "ImageNet, COCO, Cityscapes trainval and coarse", num_classes=19, output_stride=8, miou=82.66,
        on="Cityscapes test", how="scales 0.75 to 2, flipped too", megabytes=446,
    ),
    _tensorflow(
        "mobilenetv2_ade20k_train", "deeplabv3_mnv2_ade20k_train_2018_12_03",
        "DeepLab v3+, MobileNetV2", "ImageNet, ADE20K train", num_classes=151, miou=32.04, on=ADE20K_VAL,
        how="one scale of 257", megabytes=24.8,
    ),
    _tensorflow(
        "xception65_ade20k_train", "deeplabv3_xception_ade20k_train_2018_05_29",
        XCEPTION65, "ImageNet, ADE20K train", num_classes=151, output_stride=8, miou=45.65, on=ADE20K_VAL, how=SCALES,
        megabytes=439,
    ),
)  # fmt: skip


def _torchvision(name: str, file: str, network: str, *, output_stride: int, miou: float, megabytes: float) -> Published:
    """`COCO_WITH_VOC_LABELS_V1` of a network. The file's name ends in the digits that its SHA-256 begins with."""
    return Published(
        name=f"torchvision/{name}",
        source="torchvision",
        file=file,
        url=f"https://download.pytorch.org/models/{file}",
        page="https://pytorch.org/vision/stable/models/deeplabv3.html",
        network=f"DeepLab v3, {network}",
        data="ImageNet, COCO train2017 with the classes of VOC",
        num_classes=21,
        output_stride=output_stride,
        miou=miou,
        measured="COCO val2017 with the classes of VOC, one scale",
        megabytes=megabytes,
        licence="BSD-3-Clause",
        sha256=_hash_in(file),
    )


def _hash_in(file: str) -> str:
    """The digits between the last dash and the suffix."""
    return file.rpartition("-")[2].partition(".")[0]


TORCHVISION = (
    _torchvision(
        "deeplabv3_resnet50", "deeplabv3_resnet50_coco-cd0a2569.pth", "ResNet-50",
        output_stride=8, miou=66.4, megabytes=160.515,
    ),
    _torchvision(
        "deeplabv3_resnet101", "deeplabv3_resnet101_coco-586e9e4e.pth", "ResNet-101",
        output_stride=8, miou=67.4, megabytes=233.217,
    ),
    _torchvision(
        "deeplabv3_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large-fc3c493d.pth", "MobileNetV3 large",
        output_stride=16, miou=60.3, megabytes=42.301,
    ),
)  # fmt: skip

HUGGINGFACE = (
    Published(
        name="hf/deeplabv3_mobilenet_v2_1.0_513",
        source="huggingface",
        file="pytorch_model.bin",
        url="https://huggingface.co/google/deeplabv3_mobilenet_v2_1.0_513/resolve/main/pytorch_model.bin",
        page="https://huggingface.co/google/deeplabv3_mobilenet_v2_1.0_513",
        network=MOBILENETV2,
        data="VOC 2012",
        num_classes=21,
        output_stride=8,
        miou=None,
        measured="",
        megabytes=10.4,
        licence="other",
    ),
)


def _kazuto1011(file: str, *, data: str, num_classes: int, miou: float, measured: str) -> Published:
    return Published(
        name=f"kazuto1011/{file}",
        source="kazuto1011",
        file=f"{file}.pth",
        url=f"https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/{file}.pth",
        page="https://github.com/kazuto1011/deeplab-pytorch",
        network="DeepLab v2, ResNet-101",
        data=f"COCO, {data}",
        num_classes=num_classes,
        output_stride=8,
        miou=miou,
        measured=f"{measured}, scales 0.5, 0.75 and 1",
        megabytes=None,
        licence="MIT",
    )


KAZUTO1011 = (
    _kazuto1011(
        "deeplabv2_resnet101_msc-vocaug-20000",
        data="VOC 2012 train_aug", num_classes=21, miou=76.65, measured=VOC_VAL,
    ),
    _kazuto1011(
        "deeplabv2_resnet101_msc-cocostuff10k-20000",
        data="COCO-Stuff 10k train", num_classes=182, miou=34.8, measured="COCO-Stuff 10k val warped to 513 x 513",
    ),
    _kazuto1011(
        "deeplabv2_resnet101_msc-cocostuff164k-100000",
        data="COCO-Stuff 164k train", num_classes=182, miou=39.1, measured="COCO-Stuff 164k val",
    ),
)  # fmt: skip


def _vainf(name: str, network: str, page: str, *, city: bool = False, suffix: str = ".pth", miou: float) -> Published:
    return Published(
        name=f"vainf/{name}",
        source="vainf",
        file=f"best_{name}{suffix}",
        url=None,
        page=page,
        network=f"DeepLab v3+, {network}",
        data=CITYSCAPES if city else "VOC 2012 train_aug",
        num_classes=19 if city else 21,
        output_stride=16,
        miou=miou,
        measured=f"{CITYSCAPES_VAL if city else f'{VOC_VAL}, 513 x 513 from the middle'}, one scale, stride 16",
        megabytes=None,
        licence="MIT",
    )


VAINF = (
    _vainf(
        "deeplabv3plus_resnet50_voc_os16", "ResNet-50",
        "https://www.dropbox.com/s/dgxyd3jkyz24voa/best_deeplabv3plus_resnet50_voc_os16.pth?dl=0", miou=77.2,
    ),
    _vainf(
        "deeplabv3plus_resnet101_voc_os16", "ResNet-101",
        "https://www.dropbox.com/s/bm3hxe7wmakaqc5/best_deeplabv3plus_resnet101_voc_os16.pth?dl=0", miou=78.3,
    ),
    _vainf(
        "deeplabv3plus_resnet101_cityscapes_os16", "ResNet-101",
        "https://drive.google.com/file/d/1t7TC8mxQaFECt4jutdq_NMnWxdm6B-Nb/view", city=True, suffix=".pth.tar",
        miou=76.2,
    ),
)  # fmt: skip

JFZHANG95 = (
    Published(
        name="jfzhang95/deeplab-resnet",
        source="jfzhang95",
        file="deeplab-resnet.pth.tar",
        url=None,
        page="https://drive.google.com/open?id=1NwcwlWqA-0HqAPk3dSNNPipGMF0iS0Zu",
        network="DeepLab v3+, ResNet-101",
        data="VOC 2012 and SBD",
        num_classes=21,
        output_stride=16,
        miou=78.43,
        measured=f"{VOC_VAL}, 513 x 513 from the middle, one scale, stride 16",
        megabytes=None,
        licence="MIT",
    ),
)


DETECTRON2 = tuple(
    Published(
        name=f"detectron2/deeplab_{version}_R_103_os16_mg124_poly_90k_bs16",
        source="detectron2",
        file=file,
        url=(
            "https://dl.fbaipublicfiles.com/detectron2/DeepLab/Cityscapes-SemanticSegmentation/"
            f"deeplab_{version}_R_103_os16_mg124_poly_90k_bs16/{run}/{file}"
        ),
        page="https://github.com/facebookresearch/detectron2/tree/main/projects/DeepLab",
        network=network,
        data=f"ImageNet, {CITYSCAPES}",
        num_classes=19,
        output_stride=16,
        miou=miou,
        measured=f"{CITYSCAPES_VAL}, one scale, stride 16",
        megabytes=None,
        licence="Apache-2.0",
    )
    for version, network, run, file, miou in (
        ("v3", "DeepLab v3, ResNet-103", 28041665, "model_final_0dff1b.pkl", 78.5),
        ("v3_plus", "DeepLab v3+, ResNet-103", 28054032, "model_final_a8a355.pkl", 80.0),
    )
)

MMSEGMENTATION_DATA = {
    "cityscapes": (CITYSCAPES, 19, CITYSCAPES_VAL),
    "ade20k": ("ADE20K train", 150, ADE20K_VAL),
    "voc12aug": ("VOC 2012 train_aug", 21, VOC_VAL),
}
"""By the end of a name: trained on, number of classes, measured on."""


def _mmsegmentation(name: str, stamp: str, *, miou: float) -> Published:
    """One of the metafiles; tools/publish_model.py puts the first digits of a file's SHA-256 at the end of its name."""
    family, backbone, *_, data = name.split("_")
    trained_on, num_classes, measured_on = MMSEGMENTATION_DATA[data]
    file = f"{name}_{stamp}.pth"
    return Published(
        name=f"mmseg/{name}",
        source="mmsegmentation",
        file=file,
        url=f"https://download.openmmlab.com/mmsegmentation/v0.5/{family}/{name}/{file}",
        page=f"https://github.com/open-mmlab/mmsegmentation/tree/main/configs/{family}",
        network=f"DeepLab {'v3+' if family.endswith('plus') else 'v3'}, ResNet-{backbone[1:].partition('-')[0]}",
        data=f"ImageNet, {trained_on}",
        num_classes=num_classes,
        output_stride=8,
        miou=miou,
        measured=f"{measured_on}, one scale, stride 8",
        megabytes=None,
        licence="Apache-2.0",
        sha256=_hash_in(file),
    )


MMSEGMENTATION = (
    _mmsegmentation("deeplabv3_r50-d8_512x1024_40k_cityscapes", "20200605_022449-acadc2f8", miou=79.09),
    _mmsegmentation("deeplabv3_r101-d8_512x1024_40k_cityscapes", "20200605_012241-7fd3f799", miou=77.12),
    _mmsegmentation("deeplabv3_r18-d8_512x1024_80k_cityscapes", "20201225_021506-23dffbe2", miou=76.70),
    _mmsegmentation("deeplabv3_r50-d8_512x1024_80k_cityscapes", "20200606_113404-b92cfdd4", miou=79.32),
    _mmsegmentation("deeplabv3_r101-d8_512x1024_80k_cityscapes", "20200606_113503-9e428899", miou=80.20),
    _mmsegmentation("deeplabv3_r50-d8_512x512_80k_ade20k", "20200614_185028-0bb3f844", miou=42.42),
    _mmsegmentation("deeplabv3_r101-d8_512x512_80k_ade20k", "20200615_021256-d89c7fa4", miou=44.08),
    _mmsegmentation("deeplabv3_r50-d8_512x512_160k_ade20k", "20200615_123227-5d0ee427", miou=42.66),
    _mmsegmentation("deeplabv3_r101-d8_512x512_160k_ade20k", "20200615_105816-b1f72b3b", miou=45.00),
    _mmsegmentation("deeplabv3_r50-d8_512x512_20k_voc12aug", "20200617_010906-596905ef", miou=76.17),
    _mmsegmentation("deeplabv3_r101-d8_512x512_20k_voc12aug", "20200617_010932-8d13832f", miou=78.70),
    _mmsegmentation("deeplabv3_r50-d8_512x512_40k_voc12aug", "20200613_161546-2ae96e7e", miou=77.68),
    _mmsegmentation("deeplabv3_r101-d8_512x512_40k_voc12aug", "20200613_161432-0017d784", miou=77.92),
    _mmsegmentation("deeplabv3plus_r50-d8_512x1024_40k_cityscapes", "20200605_094610-d222ffcd", miou=79.61),
    _mmsegmentation("deeplabv3plus_r101-d8_512x1024_40k_cityscapes", "20200605_094614-3769eecf", miou=80.21),
    _mmsegmentation("deeplabv3plus_r18-d8_512x1024_80k_cityscapes", "20201226_080942-cff257fe", miou=76.89),
    _mmsegmentation("deeplabv3plus_r50-d8_512x1024_80k_cityscapes", "20200606_114049-f9fb496d", miou=80.09),
    _mmsegmentation("deeplabv3plus_r101-d8_512x1024_80k_cityscapes", "20200606_114143-068fcfe9", miou=80.97),
    _mmsegmentation("deeplabv3plus_r50-d8_512x512_80k_ade20k", "20200614_185028-bf1400d8", miou=42.72),
    _mmsegmentation("deeplabv3plus_r101-d8_512x512_80k_ade20k", "20200615_014139-d5730af7", miou=44.60),
    _mmsegmentation("deeplabv3plus_r50-d8_512x512_160k_ade20k", "20200615_124504-6135c7e0", miou=43.95),
    _mmsegmentation("deeplabv3plus_r101-d8_512x512_160k_ade20k", "20200615_123232-38ed86bb", miou=45.47),
    _mmsegmentation("deeplabv3plus_r50-d8_512x512_20k_voc12aug", "20200617_102323-aad58ef1", miou=75.93),
    _mmsegmentation("deeplabv3plus_r101-d8_512x512_20k_voc12aug", "20200617_102345-c7ff3d56", miou=77.22),
    _mmsegmentation("deeplabv3plus_r50-d8_512x512_40k_voc12aug", "20200613_161759-e1b43aa9", miou=76.81),
    _mmsegmentation("deeplabv3plus_r101-d8_512x512_40k_voc12aug", "20200613_205333-faf03387", miou=78.62),
)

PUBLISHED = {
    entry.name: entry
    for entry in (
        *TENSORFLOW,
        *TORCHVISION,
        *HUGGINGFACE,
        *KAZUTO1011,
        *VAINF,
        *JFZHANG95,
        *DETECTRON2,
        *MMSEGMENTATION,
    )
}
