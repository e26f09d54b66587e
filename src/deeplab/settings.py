"""Every option of every command, once: its default, its help text and its check.

The command line makes its flags from the fields, and the Python calls pass their keywords through `build`, so
both accept the same values and refuse the same mistakes. Nothing heavy is imported here: a mistake is told
before torch loads.
"""

# ruff: noqa: RUF009 (option and argument make dataclass fields)
from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from deeplab._fields import Settings as Settings
from deeplab._fields import argument, option
from deeplab._fields import build as build
from deeplab._fields import takes as takes
from deeplab.errors import SettingsError, unknown_name

_T = TypeVar("_T")

LEARNING_RATES = {"adamw": 5e-4, "sgd": 0.007}
"""The learning rate by optimizer where none is given; 0.007 is that of DeepLab v3 (section 4.1)."""

WEIGHT_DECAYS = {"adamw": 0.01, "sgd": 4e-5}
"""The weight decay by optimizer where none is given; 4e-5 is that of the official MobileNetV2 models."""

LARGEST_SIDE = {"cpu": 1024, "mps": 1024, "cuda": 2048}
"""Pixels, by the device of a training; where no long side is given, larger images are shrunk to it first."""

EXPORT_SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "exported-program": ".pt2",
    "litert": ".tflite",
    "coreml": ".mlpackage",
}
"""How the files of each export format end; `runtimes/` has a file for each."""

ENGINE_DEVICES = {"onnx": ("cpu", "cuda", "tensorrt"), "openvino": ("cpu",)}
"""Where the engines that are not PyTorch compute."""

ENGINE_PRECISIONS = {
    "torch": ("float32", "bfloat16", "float16"),
    "compiled": ("float32", "bfloat16", "float16"),
    "onnx": ("float32",),
    "openvino": ("float32", "bfloat16"),
    "auto": ("float32",),
}
"""What the engines compute in."""

CHECKPOINT_ENDINGS = re.compile(
    r"(?<=.)(\.(bin|ckpt|index|pb|pkl|pt|pth|safetensors|tar|tflite))+$", flags=re.IGNORECASE
)
"""How files of weights end; in `model.ckpt-10000` the number is a part of the name."""

LOSSES = ("cross_entropy", "focal", "dice", "lovasz")
"""The losses by name; `losses/` has them."""

LENGTHS = (("epochs", "steps"), ("warmup_epochs", "warmup_steps"))
"""Options of a training of which one is given, not both."""

CRFPreset = Literal[
    "v1",
    "v1-msc",
    "v1-coco",
    "v1-largefov",
    "v1-msc-largefov",
    "v1-coco-largefov",
    "v1-msc-coco-largefov",
    "v2-vgg16",
    "v2-resnet101",
    "crf-rnn",
]
"""The names of the dense CRF's parameters; `crf/pairwise.py` has their values."""

CRF_ALONE: CRFPreset = "v2-resnet101"
"""What `--crf` without a name takes."""

MODEL_HELP = "The model: a name from 'deeplab models' or a file."

CLASSES_HELP = (
    "Classes made of those of the data: person keeps, vehicle=car|bus merges, *: each of the rest, background=*: the "
    "rest as one; others are ignored."
)
CLASSES_METAVAR = "NAME[=OLD|OLD],..."


def _by_optimizer(values: Mapping[str, float]) -> str:
    return ", ".join(f"{f'{value:f}'.rstrip('0')} with {name}" for name, value in values.items())


@dataclass(frozen=True, kw_only=True)
class UseSettings(Settings):
    """How a model predicts."""

    scales: tuple[float, ...] = option(
        (1.0,), "Mean over the image at these sizes, as in 0.75,1,1.25.", above=0, at_most=16
    )
    flip: bool = option(False, "Mean over the image and its mirror image.")
    tile_size: int | None = option(
        None,
        "Predict in overlapping squares of this side, in pixels of the image at --long-side; unasked where the whole "
        "image would not fit into memory.",
        at_least=32,
    )
    long_side: int | None = option(
        None, "Longer side that the network sees, in pixels.", shown="the model's own", at_least=1, at_most=10**5
    )
    device: str = option(
        "auto",
        "Where to compute; tensorrt: an .onnx file of one size on a GPU.",
        metavar="cpu|cuda|cuda:N|mps|tensorrt|auto",
    )
    engine: Literal["torch", "compiled", "onnx", "openvino", "auto"] = option(
        "torch",
        "What computes: torch, the same compiled, or another engine, for which the model is exported and compared "
        "once; auto: the fastest of those that are installed, tried once.",
    )
    precision: Literal["float32", "bfloat16", "float16"] = option(
        "float32", "Of the multiplications; fewer bits are faster where the machine has instructions for them."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_device(self.device, also="tensorrt")
        if self.precision not in ENGINE_PRECISIONS[self.engine]:
            able = [name for name, precisions in ENGINE_PRECISIONS.items() if self.precision in precisions]
            raise SettingsError(f"precision {self.precision} is for the engines {', '.join(able)}, not {self.engine}")
        kind, places = self.device.partition(":")[0], ENGINE_DEVICES.get(self.engine)
        if places and kind not in ("auto", *places):
            raise SettingsError(f"engine {self.engine} computes on {', '.join(places)}, not on {self.device}")


@dataclass(frozen=True, kw_only=True)
class ModelSettings(UseSettings):
    """A model, and how it predicts."""

    model: str = option("objects", MODEL_HELP, metavar="NAME|PATH")

    def __post_init__(self) -> None:
        super().__post_init__()
        suffix = Path(self.model).suffix.lower()
        own = ("torch", "auto", *(name for name, ending in EXPORT_SUFFIXES.items() if ending == suffix))
        if suffix in EXPORT_SUFFIXES.values() and self.engine not in own:
            raise SettingsError(f"engine {self.engine} is not that of {self.model}, which is exported; leave it out")
        if self.device.startswith("tensorrt") and suffix != EXPORT_SUFFIXES["onnx"]:
            raise SettingsError(
                f"device {self.device} is for files that 'deeplab export --format onnx --fixed-size HEIGHT,WIDTH' "
                f"wrote, got {self.model}; take --device auto"
            )


@dataclass(frozen=True, kw_only=True)
class LoadSettings(ModelSettings):
    """How a model is loaded to be used."""

    crf: str | None = option(
        None,
        "Sharpen the classes along the edges of the image by a dense CRF, as v1 and v2 do, with the parameters of a "
        f"file of 'deeplab tune-crf' or of {', '.join(get_args(CRFPreset))}; alone: {CRF_ALONE}.",
        metavar="[NAME|FILE.json]",
        alone=CRF_ALONE,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crf is not None and not names_crf(self.crf):
            raise unknown_name("CRF preset", self.crf, get_args(CRFPreset))


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(LoadSettings):
    """The options of `deeplab segment`."""

    inputs: tuple[str, ...] = argument("Image files, folders or patterns such as 'photos/*.jpg'.", metavar="INPUT")
    output: Path = option(Path("segmentations"), "Folder for the pictures.", metavar="DIR")
    overlay: bool = option(False, "Also write <stem>_overlay.png: the photo under its classes.")
    probabilities: bool = option(False, "Also write <stem>.npz: the probability of each class at each pixel.")
    confidence: bool = option(
        False, "Also write <stem>_confidence.png: how sure each pixel's class is, 255 at a probability of 1."
    )


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """A data set and how it is read."""

    data: Path = argument("Folder of the data set.", metavar="DATA")
    format: str | None = option(
        None, "Format of the data set: {formats}.", shown="found by what lies in the folder", metavar="NAME"
    )
    classes: tuple[str, ...] | None = option(None, CLASSES_HELP, shown="as they are", metavar=CLASSES_METAVAR)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(DataSettings, LoadSettings):
    """The options of `deeplab evaluate`."""

    model: str = argument(MODEL_HELP, metavar="MODEL")
    split: str = option("val", "The part of the data set to measure on.")
    limit: int | None = option(None, "Measure on the first N images only.", at_least=1)
    boundaries: bool = option(False, "Also boundary F-score, boundary IoU and mIoU near borders.")
    calibration: bool = option(False, "Also how far the probabilities can be believed.")
    output: Path | None = option(None, "Folder for the report and the predicted label maps.", metavar="DIR")
    report: Path | None = option(
        None, "Also write all of it, borders, calibration and pictures too, as one HTML page.", metavar="FILE.html"
    )


@dataclass(frozen=True, kw_only=True)
class ExplainSettings(LoadSettings):
    """The options of `deeplab explain`."""

    model: str = argument(MODEL_HELP, metavar="MODEL")
    image: Path = argument("Image file.", metavar="IMAGE")
    show: tuple[str, ...] | None = option(
        None, "Classes to show what speaks for, as in person,dog.", shown="those that are found", metavar="NAME,..."
    )
    pixel: tuple[int, int] | None = option(
        None, "Pixel to show the receptive field of, as ROW,COLUMN.", metavar="ROW,COLUMN", at_least=0
    )
    samples: int = option(0, "Networks with random dropout to ask as well.", at_least=0)
    output: Path = option(Path("explanations"), "Folder for the page and the pictures.", metavar="DIR")

    def __post_init__(self) -> None:
        super().__post_init__()
        if Path(self.model).suffix.lower() in EXPORT_SUFFIXES.values():
            raise SettingsError(f"{self.model} is exported and cannot be looked into; take the model it was made from")
        if self.engine not in ("torch", "compiled"):
            raise SettingsError(f"engine {self.engine} runs networks that cannot be looked into; leave --engine out")
        if self.tile_size:
            raise SettingsError("explain looks at the image in one piece; leave tile_size out and take long_side")


@dataclass(frozen=True, kw_only=True)
class TwoModelsSettings(LoadSettings):
    """Two models, used alike."""

    model: str = argument("The first model: a name from 'deeplab models' or a file.", metavar="MODEL_A")
    other: str = argument("The second one.", metavar="MODEL_B")


@dataclass(frozen=True, kw_only=True)
class CompareSettings(DataSettings, TwoModelsSettings):
    """The options of `deeplab compare`."""

    split: str = option("val", "The part of the data set to measure on.")
    limit: int | None = option(None, "Measure on the first N images only.", at_least=1)
    report: Path | None = option(
        None, "Also write where they differ, with pictures, as one HTML page.", metavar="FILE.html"
    )


@dataclass(frozen=True, kw_only=True)
class DoctorSettings(DataSettings):
    """The options of `deeplab doctor`."""

    output_stride: Literal[4, 8, 16, 32] = option(
        16, "Image side over the side of the deepest features of the network that is to learn it."
    )
    long_side: int | None = option(
        None,
        "Longer side that the training resizes images to, in pixels.",
        shown=f"larger ones to {LARGEST_SIDE['cpu']}",
        at_least=1,
    )
    report: Path | None = option(None, "Also write all of it, with pictures, as one HTML page.", metavar="FILE.html")
    fix: Path | None = option(
        None, "Write a repaired copy, in the plain layout, to this folder, which must not be there yet.", metavar="DIR"
    )


@dataclass(frozen=True, kw_only=True)
class TuneCRFSettings(DataSettings, ModelSettings):
    """The options of `deeplab tune-crf`.

    The ranges are those of the searches of DeepLab v1 and v2, and weight 1, for networks that see borders better.
    """

    model: str = argument(MODEL_HELP, metavar="MODEL")
    split: str = option("val", "The part of the data set to search on.")
    limit: int = option(100, "Take N images at most, evenly spread over the split.", at_least=4)
    weight: tuple[float, ...] = option((1, 3, 6, 10), "Weights of the appearance kernel to try first.", above=0)
    sigma_xy: tuple[float, ...] = option((30, 65, 100), "Its standard deviations of distance, in pixels.", above=0)
    sigma_rgb: tuple[float, ...] = option(
        (3, 6, 10), "Its standard deviations of colour, in grey levels of 0 to 255.", above=0
    )
    smoothness: tuple[float, float] = option(
        (3, 3), "The smoothness kernel, the same for all.", metavar="WEIGHT,SIGMA", above=0
    )
    rounds: int = option(2, "Rounds of the search; each goes on around the best with half the steps.", at_least=1)
    output: Path = option(
        Path("{model}_crf.json"),
        "File for the best CRF, which --crf takes; {model} stands for the model's name. What is computed is kept in a "
        "folder beside it, so that a second call goes on.",
        metavar="FILE.json",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        output = str(self.output).replace("{model}", Path(self.model).stem)
        if not output.endswith(".json"):
            raise SettingsError(f"output wants a name that ends in .json, got {output}")
        object.__setattr__(self, "output", Path(output))

    @property
    def trials(self) -> Path:
        """The folder of what is computed, beside the output."""
        return self.output.with_suffix(".trials")


@dataclass(frozen=True, kw_only=True)
class ConvertSettings(Settings):
    """The options of `deeplab convert`."""

    checkpoint: Path = argument("File of the other system.", metavar="CHECKPOINT")
    source: str = option("auto", "The system: {sources}; auto finds it.", metavar="NAME")
    output: Path = option(
        Path("{checkpoint}.safetensors"),
        "File to write; {checkpoint} stands for the checkpoint's name without its endings.",
        metavar="FILE",
    )
    output_stride: Literal[4, 8, 16, 32] | None = option(
        None, "Image side over the side of the deepest features.", shown="the system's in evaluation, or the file's"
    )
    classes: tuple[str, ...] | None = option(
        None,
        "Names of the classes, all of them, in the order of the network's outputs.",
        shown="the file's own, else by their number",
        metavar="NAME,...",
    )
    golden: Path | None = option(
        None,
        "Outputs of the other system to compare with, .npz: 'input', (N, C, H, W), normalised RGB, or 'image', "
        "(H, W, 3), uint8; 'logits'; further layers by their names in the checkpoint.",
        shown="the other system itself, where it is installed",
        metavar="FILE",
    )
    half: bool = option(
        False, "Store the weights in half precision, half as large; those of an 8-bit file exactly, a quarter as large."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        name = CHECKPOINT_ENDINGS.sub("", self.checkpoint.name)
        output = str(self.output).replace("{checkpoint}", name)
        if not output.endswith(".safetensors"):
            raise SettingsError(f"output wants a name that ends in .safetensors, got {output}")
        object.__setattr__(self, "output", Path(output))
        for name in self.classes or ():
            if name == "*" or "=" in name or "|" in name:
                raise SettingsError(f"classes wants names alone, without *, = and |, got '{name}'")
        if len(set(self.classes or ())) < len(self.classes or ()):
            raise SettingsError(f"classes wants each name once, got {', '.join(self.classes or ())}")


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Settings):
    """The options of `deeplab export`."""

    model: str = argument(MODEL_HELP, metavar="MODEL")
    format: str | None = option(
        None, f"Format: {', '.join(EXPORT_SUFFIXES)}.", shown="by the ending of --output, else onnx", metavar="NAME"
    )
    output: Path | None = option(None, "File to write.", shown="the name of the model", metavar="FILE")
    fixed_size: tuple[int, int] | None = option(
        None,
        "Make the graph for one image of this size, to which images are scaled and padded.",
        metavar="SIDE|HEIGHT,WIDTH",
        at_least=1,
    )
    labels: bool = option(False, "Also put the label map into the graph, as a second output.")
    int8: bool = option(False, "Compute in 8 bits, but for the layers that lose too much; needs --calibration.")
    calibration: Path | None = option(
        None,
        "Folder of images, or data set, that --int8 takes the ranges of all values from; of its splits "
        "train, or else the first.",
        metavar="DATA",
    )
    precision: Literal["float32", "bfloat16"] = option(
        "float32", "How an openvino file is run to be compared: in what is not in 8 bits, bfloat16 is faster."
    )
    classes: tuple[str, ...] | None = option(
        None,
        "Keep only these of the model's classes, and rename: person, cycle=bicycle, *: each of the rest.",
        shown="all",
        metavar="NAME[=OLD],...",
    )
    data: Path | None = option(
        None,
        "Folder of images, or data set, to compare the file with the model on; masks give the mIoU.",
        shown="a photo of matplotlib, where that is installed, and made-up pictures",
        metavar="DATA",
    )
    data_format: str | None = option(
        None,
        "Format of --data and --calibration, where they are data sets: {formats}.",
        shown="found by what lies in the folder",
        metavar="NAME",
    )
    split: str = option("val", "The part of --data to compare on, where it is a data set.")
    limit: int = option(8, "Compare on the first N images.", at_least=1)
    agreement: float | None = option(
        None,
        "Least share of equal labels; below it nothing is written.",
        shown="0.999, 0.98 with --int8 or bfloat16",
        above=0,
        at_most=1,
    )
    unproven: bool = option(False, "Write a coreml file where it cannot be compared: macOS alone runs it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        by_suffix = {suffix: name for name, suffix in EXPORT_SUFFIXES.items()}
        format = self.format or by_suffix.get(self.output.suffix.lower() if self.output else "", "onnx")
        if format not in EXPORT_SUFFIXES:
            raise unknown_name("format", format, EXPORT_SUFFIXES)
        suffix = EXPORT_SUFFIXES[format]
        output = self.output or Path(f"{Path(self.model).stem}{suffix}")
        if output.suffix.lower() != suffix:
            endings = f"{suffix} for {format}" if self.format else ", ".join(EXPORT_SUFFIXES.values())
            raise SettingsError(f"output wants a name that ends in {endings}, got {output}")
        if self.int8 != (self.calibration is not None):
            raise SettingsError("int8 and calibration go together: the images tell the ranges of the 8-bit numbers")
        if self.precision != "float32" and format != "openvino":
            raise SettingsError(f"precision {self.precision} is for openvino, not {format}; leave it out")
        if self.unproven and (format != "coreml" or self.data or self.int8):
            raise SettingsError("unproven is for coreml, without data and int8, for it compares nothing; leave one out")
        if format == "coreml" and not self.unproven and sys.platform != "darwin":
            raise SettingsError(
                "coreml files run on macOS only, so that nothing would be proven here; export there, or add --unproven"
            )
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "output", output)
        fewer_bits = self.int8 or self.precision != "float32"
        object.__setattr__(self, "agreement", self.agreement or (0.98 if fewer_bits else 0.999))


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(UseSettings):
    """The options of `deeplab benchmark`."""

    models: tuple[str, ...] | None = argument(
        "Models: names from 'deeplab models', model files or exported ones.",
        metavar="MODEL",
        default=None,
        shown="those that ship",
    )
    sizes: tuple[str, ...] = option(
        ("513x513", "1024x1024", "1025x2049"),
        "Sizes of the picture, each HEIGHTxWIDTH in pixels; the table says to which size a model scales it first.",
        metavar="HxW,...",
    )
    image: Path | None = option(
        None,
        "Picture, which is cut, or goes on in its mirror images.",
        shown="a photo of matplotlib, where that is installed, or a made-up picture",
        metavar="FILE",
    )
    rounds: int = option(7, "Turns of each model, after one that does not count.", at_least=1)
    batch_size: int = option(1, "Pictures at a time.", at_least=1)
    growth: Path | None = option(
        None,
        "Also draw how time and memory grow with the picture, seen at its own size, the batch and the classes.",
        metavar="FILE.png",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
                raise SettingsError(f"sizes want HEIGHTxWIDTH with commas between, as in 513x513; got '{size}'")
        if self.models is not None and len(set(self.models)) < len(self.models):
            raise SettingsError(f"models want each once, got {', '.join(self.models)}")
        if self.growth is not None and self.growth.suffix.lower() != ".png":
            raise SettingsError(f"growth wants a name that ends in .png, got {self.growth}")

    @property
    def pixels(self) -> list[tuple[int, int]]:
        """The sizes as (height, width)."""
        return [(int(height), int(width)) for height, _, width in (size.partition("x") for size in self.sizes)]


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSettings):
    """The options of `deeplab train`; None means: chosen from the data and the machine."""

    output: Path = option(
        Path("runs/{data}"),
        "Folder of the run; {data} stands for the name of the data folder.",
        metavar="DIR",
    )
    config: Path | None = option(
        None,
        "YAML file with these options, such as the config.yaml of a run; flags override it.",
        metavar="FILE",
    )
    resume: bool = option(False, "Go on where the run in --output stopped, with its options.")
    doctor: bool = option(True, "Examine the data first, as 'deeplab doctor' does, and refuse what has errors.")
    recipe: str | None = option(
        None, "Train as somebody published; flags and --config override it: {recipes}.", metavar="NAME"
    )

    model: str = option(
        "auto",
        "Model variant, from 'deeplab models'; auto: deeplabv3plus, or that of --weights where no other begins with "
        "their head.",
        metavar="NAME|auto",
    )
    backbone: str = option(
        "auto",
        "Backbone, from 'deeplab models'; auto: that of --weights, or one whose weights are here.",
        metavar="NAME|auto",
    )
    model_options: Mapping[str, Any] | None = option(
        None,
        "Further options of model and backbone, as in '{\"multi_grid\": [1, 2, 4]}'.",
        shown="those of the weights",
        metavar="JSON",
    )
    weights: str = option(
        "auto",
        "Weights to start from, also of an ImageNet classifier; auto: those that ship or were downloaded before, where "
        "the backbone fits.",
        metavar="NAME|PATH|auto|none",
    )
    head: Literal["auto", "start", "new"] = option(
        "auto",
        "start: what fits of the head of --weights; new: a new one; auto: start where the weights are given or know a "
        "class.",
    )
    freeze: Literal["none", "stem", "res2", "res3", "res4", "backbone"] = option(
        "none", "Keep the backbone's start weights and statistics up to this stage."
    )
    output_stride: Literal[4, 8, 16, 32] | None = option(
        None, "Image side over the side of the deepest features.", shown="16, less for small crops"
    )
    atrous_rates: tuple[int, ...] | None = option(
        None, "Rates of the atrous branches.", shown="by the output stride and the crop", at_least=1
    )
    crf_rnn: bool | None = option(
        None,
        "End the model in a CRF-RNN and train it too; best from --weights that were trained without one.",
        shown="as in the weights that bring the head",
    )

    train_splits: tuple[str, ...] = option(("train",), "The parts of the data set to train on, as in train,val.")
    val_split: str = option("val", "The part to choose the best epoch on; none: no validation.")
    validate_every: int = option(1, "Epochs between two validations.", at_least=1)
    val_limit: int | None = option(None, "Validate on the first N images only.", at_least=1)
    crop_size: tuple[int, int] | None = option(
        None, "Size of the crops, in pixels.", shown="from the data", metavar="SIDE|HEIGHT,WIDTH", at_least=1
    )
    long_side: int | None = option(
        None, "Longer side that images are resized to first, in pixels.", shown="from the data", at_least=1
    )
    scale: tuple[float, float] | None = option(
        None, "Least and greatest random scale.", shown="from the data", metavar="SCALE|MIN,MAX", above=0
    )
    scale_step: float = option(0.0, "Steps between the random scales; 0: any scale.", at_least=0)
    photometric: bool = option(True, "Random brightness, contrast, saturation and hue.")
    rare_crops: float | None = option(
        None,
        "Share of the crops that are centred on a pixel of a class drawn by the inverse of its share.",
        shown="from the data",
        at_least=0,
        at_most=1,
    )

    epochs: int | None = option(
        None, "Epochs, each of --passes over the training images.", shown="from the data", at_least=1
    )
    passes: int | None = option(
        None, "Passes over the training images in an epoch.", shown="1; without --epochs from the data", at_least=1
    )
    steps: int | None = option(None, "Length of the run in steps, in the place of --epochs.", at_least=1)
    batch_size: int | None = option(
        None, "Images at a time on a device.", shown="8, with CUDA 16, or what fits", at_least=1
    )
    accumulate: int | None = option(
        None, "Batches whose gradients make one step.", shown="1, more where a batch is small", at_least=1
    )
    optimizer: Literal["adamw", "sgd"] = option("adamw", "How the weights follow the gradient.")
    learning_rate: float | None = option(
        None, "Learning rate at its peak.", shown=_by_optimizer(LEARNING_RATES), above=0
    )
    head_multiplier: float | None = option(
        None,
        "Learning rate of the head over that of the backbone.",
        shown="10, or 3 for a head that comes with the weights",
        above=0,
    )
    layer_decay: float = option(
        1.0, "Learning rate of each stage of the backbone over that of the next.", above=0, at_most=1
    )
    bias_multiplier: float = option(
        1.0, "Learning rate of the convolutions' biases over that of their weights; 2 in the official code.", above=0
    )
    weight_decay: float | None = option(None, "Weight decay.", shown=_by_optimizer(WEIGHT_DECAYS), at_least=0)
    warmup_epochs: float | None = option(
        None, "Epochs until the learning rate reaches its peak.", shown="1, at most a tenth of the run", at_least=0
    )
    warmup_steps: int | None = option(None, "The same in steps, in the place of --warmup-epochs.", at_least=0)
    power: float = option(0.9, "Power of the falling learning rate ('poly').", above=0)
    end_learning_rate: float = option(0.0, "Learning rate that it falls to.", at_least=0)
    rate_every: int = option(1, "Steps between two changes of the learning rate.", at_least=1)
    gradient_clip: float = option(5.0, "Greatest norm of the gradient; 0: any.", at_least=0)
    ema: float = option(0.99, "Decay of the running mean of the weights; 0: off.", at_least=0, at_most=0.99999)
    batch_norm: Literal["auto", "train", "freeze", "sync", "group"] = option(
        "auto",
        "train: learn batch statistics; freeze: keep those of the start; sync: share them between GPUs; group: group "
        "norm in their place; auto: by the size of the batch.",
    )
    batch_norm_momentum: float | None = option(
        None,
        "Share of a batch in the running statistics.",
        shown="the layers' own, more in a short run",
        above=0,
        at_most=1,
    )
    loss: str = option(
        "auto",
        "Losses, each with its weight, as in cross_entropy+0.5*dice; there are cross_entropy, focal, dice and lovasz; "
        "auto: cross_entropy, and lovasz too where the head of the start knows classes.",
        metavar="[X*]NAME+...",
    )
    loss_divisor: Literal["counted", "weights", "all"] = option(
        "counted",
        "What the sum over the pixels is divided by: the number of counted ones, their classes' weights, or the number "
        "of all, the ignored ones too.",
    )
    focal_gamma: float = option(2.0, "How much less the focal loss weighs what is right already.", at_least=0)
    class_weights: Literal["auto", "none", "sqrt", "balanced"] = option(
        "auto", "Weigh rare classes more: by the inverse of their share, or by its square root; auto: none."
    )
    label_smoothing: float = option(0.0, "Share of each label spread over all classes.", at_least=0, at_most=1)
    hard_pixels: float = option(
        1.0, "Share of the pixels that is learned: those of the largest loss.", above=0, at_most=1
    )
    hard_pixels_epochs: float = option(
        0.0, "Epochs over which that share falls from all pixels to --hard-pixels; 0: at once.", at_least=0
    )
    auxiliary: float = option(
        0.0, "Weight in the loss of a second head, on res4 and not saved; 0: none, 0.4 is usual.", at_least=0
    )
    auxiliary_multiplier: float | None = option(
        None, "Learning rate of the second head over that of the backbone.", shown="--head-multiplier", above=0
    )
    teacher: str | None = option(
        None, "Model of the same classes whose probabilities are learned as well.", metavar="NAME|PATH"
    )
    distillation: float = option(0.5, "Weight of the teacher's probabilities in the loss.", at_least=0, at_most=1)

    precision: Literal["auto", "32", "bf16"] = option(
        "auto", "Arithmetic; auto: bf16 where the machine computes it fast."
    )
    device: str = option("auto", "Where to compute.", metavar="cpu|cuda|cuda:N|mps|auto")
    devices: int = option(1, "GPUs, or processes on a CPU, of each machine.", at_least=1)
    nodes: int = option(1, "Machines; torchrun or SLURM starts the command on each of them.", at_least=1)
    shard: bool = option(
        False, "Share weights and optimizer state between the devices (FSDP), for backbones too large for one; slower."
    )
    workers: int = option(-1, "Processes that read images; -1: as many as fit.", at_least=-1)
    logger: tuple[Literal["wandb", "mlflow"], ...] | None = option(
        None, "Also log to Weights & Biases or MLflow, or both as in wandb,mlflow.", shown="CSV files and TensorBoard"
    )
    on_nan: Literal["stop", "skip"] = option(
        "stop", "After a loss or gradient that is not finite: stop the run, or skip the step."
    )
    seed: int = option(0, "Seed of everything random.", at_least=0, at_most=2**32 - 1)
    half: bool = option(False, "Write the model's weights in half precision.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_device(self.device)
        if self.devices > 1 and ":" in self.device:
            raise SettingsError(f"device {self.device} is one but devices is {self.devices}; take --device cuda")
        if self.distillation != type(self).distillation and self.teacher is None:
            raise SettingsError("distillation is the weight of a teacher but there is none; give --teacher")
        if self.shard and self.processes == 1:
            raise SettingsError("shard is for several devices but there is one; give --devices, or leave --shard out")
        if self.scale is not None and self.scale[0] > self.scale[1]:
            raise SettingsError(f"scale wants MIN,MAX with MIN <= MAX, got {self.scale}")
        for first, second in LENGTHS:
            if None not in (getattr(self, first), getattr(self, second)):
                raise SettingsError(f"{first} and {second} both say how long; leave one out")
        if self.auxiliary > 0 and self.freeze in ("res4", "backbone"):
            raise SettingsError(
                f"auxiliary teaches the backbone up to res4, all of which freeze {self.freeze} keeps; leave one out"
            )
        _check_loss(self)
        name = self.data.resolve().name
        object.__setattr__(self, "output", Path(str(self.output).replace("{data}", name)))

    @property
    def processes(self) -> int:
        """All of them, on all machines."""
        return self.devices * self.nodes


def chosen(value: _T | None) -> _T:
    """A setting of a training that is no longer open."""
    assert value is not None
    return value


def laid_over(options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with those that are `given` over them; one that stands in the place of another drops that one."""
    rest = dict(options)
    for pair in LENGTHS:
        if any(given.get(each) is not None for each in pair):
            rest = {name: value for name, value in rest.items() if name not in pair}
    return {**rest, **given}


def names_crf(text: str) -> bool:
    """Whether `text` is the name of a CRF preset or of a .json file."""
    return text in get_args(CRFPreset) or text.lower().endswith(".json")


def loss_weights(text: str) -> dict[str, float]:
    """A weighted sum of losses by name: "cross_entropy+0.5*dice" is {"cross_entropy": 1.0, "dice": 0.5}.

    Raises:
        SettingsError: A text that is no such sum, a name that is none of `LOSSES`, or one that comes twice.
    """
    weights: dict[str, float] = {}
    for term in text.split("+"):
        factor, times, name = term.rpartition("*")
        name = name.strip()
        if name not in LOSSES:
            raise SettingsError(str(unknown_name("loss", name, LOSSES)))
        try:
            weight = float(factor) if times else 1.0
        except ValueError:
            weight = math.nan
        if not (0 < weight < math.inf) or name in weights:
            raise SettingsError(
                "loss wants names with + between, each once, with or without a weight above 0 as in 0.5*dice; "
                f"got {text!r}"
            )
        weights[name] = weight
    return weights


def _check_loss(settings: TrainSettings) -> None:
    """Raise SettingsError where an option is given, and not as "none", that none of the losses has."""
    names = loss_weights("cross_entropy" if settings.loss == "auto" else settings.loss)
    owners = {
        "label_smoothing": ("cross_entropy",),
        "hard_pixels": ("cross_entropy", "focal"),
        "class_weights": ("cross_entropy", "focal"),
        "loss_divisor": ("cross_entropy", "focal"),
        "focal_gamma": ("focal",),
    }
    defaults = {each.name: each.default for each in fields(settings)}
    for name, losses in owners.items():
        if getattr(settings, name) not in (defaults[name], "none") and not names.keys() & set(losses):
            raise SettingsError(
                f"{name} is an option of {' and '.join(losses)}, which is not in the loss {settings.loss}; leave it out"
            )
    if settings.hard_pixels_epochs > 0 and settings.hard_pixels == 1:
        raise SettingsError("hard_pixels_epochs wants --hard-pixels below 1 to fall to; give it, or leave both out")


def _check_device(device: str, *, also: str = "cuda") -> None:
    if not re.fullmatch(rf"auto|cpu|mps|(cuda|{also})(:\d+)?", device):
        known = ("cpu", "cuda", "cuda:N", "mps", *(("tensorrt",) if also == "tensorrt" else ()))
        raise SettingsError(f"device wants {', '.join(known)} or auto, got '{device}'")
