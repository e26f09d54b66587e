"""The systems that benchmarks/photo_to_labels.py compares: each network, its weights, and who runs it how."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import deeplab
from deeplab import checkpoints, runtimes
from deeplab.checkpoints import Checkpoint
from deeplab.evaluation import pictures
from deeplab.images import mirrored, read_image, resize_image
from deeplab.layers import counted
from deeplab.models import SegmentationModel
from deeplab.runtimes.graph import Graph
from deeplab.training.fingerprint import has_bf16
from deeplab.weights import Conversion

Labels = NDArray[Any]
System = Callable[[Path], Labels]
"""From a file to its label map, (H, W)."""

NUM_CLASSES = 21
"""Of random weights."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP, CROPS = 257, 8
"""Of the photo, for the statistics of BatchNorm and the ranges of 8-bit numbers: side in pixels, and how many."""

Size = tuple[int, int]
SIZES: dict[str, Size] = {"513": (513, 513), "1024": (1024, 1024), "1025x2049": (1025, 2049)}
MULTIPLES: dict[str, Size] = {"513": (512, 512), "1024": (1024, 1024), "1025x2049": (1024, 2048)}


class TheirNetwork(NamedTuple):
    """A network of a PyTorch library, and how its documentation uses it."""

    title: str
    package: str
    """To be imported."""
    source: str
    """The converter."""
    classifier: str
    """Its last layer."""
    build: Callable[[int], nn.Module]
    """From the number of classes, with random weights."""
    read: Callable[[Path], Tensor]
    """(1, 3, H, W), normalised."""
    labels: Callable[[nn.Module, Tensor], Tensor]
    """(H, W)."""
    sizes: Mapping[str, Size] = SIZES
    options: Mapping[str, Any] = {}
    """Of our model, where the converter's are not what this library does."""
    trained: str = ""
    """The model of ours that has its weights; without one they are random, unless others are given."""
    fixed: bool = False
    """Whether a file is exported for each size: with paddings that follow any size, tracing does not end."""


def build_torchvision(name: str, num_classes: int) -> nn.Module:
    """With the second head, as the published weights have it."""
    library = import_module("torchvision.models.segmentation")
    model: nn.Module = getattr(library, name)(
        weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=True
    )
    return model


def read_torchvision(path: Path) -> Tensor:
    """As the transforms of the weights, but at the photo's own size."""
    presets = import_module("torchvision.transforms._presets")
    batch: Tensor = presets.SemanticSegmentation(resize_size=None)(Image.open(path).convert("RGB")).unsqueeze(0)
    return batch


def build_smp(encoder: str, num_classes: int) -> nn.Module:
    library = import_module("segmentation_models_pytorch")
    model: nn.Module = library.DeepLabV3Plus(encoder, encoder_weights=None, classes=num_classes)
    return model


def read_smp(path: Path) -> Tensor:
    """By what `get_preprocessing_fn` gives for these encoders, without asking its server for their means."""
    preprocess = import_module("segmentation_models_pytorch.encoders._preprocessing").preprocess_input
    image = np.array(Image.open(path).convert("RGB"))
    pixels = preprocess(image, mean=IMAGENET_MEAN, std=IMAGENET_STD, input_range=[0, 1])
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype("float32")).unsqueeze(0)


def build_hugging_face(num_classes: int) -> nn.Module:
    """That of google/deeplabv3_mobilenet_v2_1.0_513."""
    library = import_module("transformers")
    config = library.MobileNetV2Config(output_stride=16, num_labels=num_classes)
    model: nn.Module = library.MobileNetV2ForSemanticSegmentation(config)
    return model


def read_hugging_face(path: Path) -> Tensor:
    processor = import_module("transformers").MobileNetV2ImageProcessor(do_resize=False, do_center_crop=False)
    batch: Tensor = processor(images=Image.open(path), return_tensors="pt").pixel_values
    return batch


def hugging_face_labels(model: nn.Module, batch: Tensor) -> Tensor:
    processor = import_module("transformers").MobileNetV2ImageProcessor()
    found: list[Tensor] = processor.post_process_semantic_segmentation(
        model(pixel_values=batch), target_sizes=[batch.shape[-2:]]
    )
    return found[0]


def argmax(model: nn.Module, batch: Tensor) -> Tensor:
    logits = model(batch)
    scores: Tensor = logits["out"] if isinstance(logits, dict) else logits
    return scores[0].argmax(0)


NETWORKS = {
    "torchvision_resnet50": TheirNetwork(
        "torchvision, deeplabv3_resnet50", "torchvision", "torchvision", "classifier.4",
        partial(build_torchvision, "deeplabv3_resnet50"), read_torchvision, argmax,
    ),
    "torchvision_mobilenet": TheirNetwork(
        "torchvision, deeplabv3_mobilenet_v3_large", "torchvision", "torchvision", "classifier.4",
        partial(build_torchvision, "deeplabv3_mobilenet_v3_large"), read_torchvision, argmax,
    ),
    "smp_resnet50": TheirNetwork(
        "segmentation-models-pytorch, DeepLabV3Plus on resnet50", "segmentation_models_pytorch", "smp",
        "segmentation_head.0", partial(build_smp, "resnet50"), read_smp, argmax, MULTIPLES,
    ),
    "smp_mobilenet": TheirNetwork(
        "segmentation-models-pytorch, DeepLabV3Plus on mobilenet_v2", "segmentation_models_pytorch", "smp",
        "segmentation_head.0", partial(build_smp, "mobilenet_v2"), read_smp, argmax, MULTIPLES,
    ),
    "huggingface": TheirNetwork(
        "Hugging Face transformers, MobileNetV2ForSemanticSegmentation", "transformers", "huggingface",
        "segmentation_head.classifier.convolution", build_hugging_face, read_hugging_face, hugging_face_labels,
        options={"align_corners": False}, trained="objects", fixed=True,  # as its post_process_semantic_segmentation
    ),
}  # fmt: skip

TFLITE = "tflite"
TFLITE_FILE = Path("weights/deeplabv3_mnv2_pascal_quant.tflite")
"""In --shared."""

TITLES = {name: network.title for name, network in NETWORKS.items()} | {
    TFLITE: "the official deeplabv3_mnv2_pascal_quant.tflite in its interpreter"
}

DOCUMENTED = "as documented"
SYSTEMS = {
    DOCUMENTED: "as its documentation shows it",
    "channels-last": "channels-last memory, inference mode",
    "compiled": "torch.compile, frozen weights, channels-last memory, inference mode",
    "all threads": "the interpreter with all threads",
    "deeplab, torch": "`deeplab.load` of the converted model",
    "deeplab, torch bf16": "the same with precision bfloat16",
    "deeplab, onnx": "`deeplab.load` of the file that `deeplab export` writes",
    "deeplab, onnx int8": "the same with --int8",
    "deeplab, openvino": "the same with --format openvino",
    "deeplab, openvino bf16": "that file with precision bfloat16",
    "deeplab, openvino int8": "with --format openvino --int8",
    "deeplab, openvino int8 bf16": "with --int8 --precision bfloat16 and an --agreement that keeps layers from 8 bits",
}
"""In the order in which they take turns."""

ENDINGS = {
    "deeplab, torch": ".safetensors",
    "deeplab, torch bf16": ".safetensors",
    "deeplab, onnx": ".onnx",
    "deeplab, onnx int8": "_int8.onnx",
    "deeplab, openvino": ".xml",
    "deeplab, openvino bf16": ".xml",
    "deeplab, openvino int8": "_int8.xml",
    "deeplab, openvino int8 bf16": "_mixed.xml",
}
"""Of the file of each of ours."""

BF16, INT8 = " bf16", " int8"
"""At the end of the names of those that do not compute in float32."""

MIXED_AGREEMENT = 0.994
"""With 8 bits and bfloat16, on the photos that tell the ranges; of the benchmark's, which are larger, 0.99 are to be
equal: at 1024 x 1024 the share was 0.002 below that at 352 x 480, in the mean over 17 photos."""

ABOUT = "about.json"
"""In a network's folder: whose weights it has, of how many classes, the photo and the work at each size."""

RANDOM, LEARNED = "random", "learned here, as the benchmark's first lines say"
"""Whose weights a network can have."""


def prepare(name: str, folder: Path, shared: Path, *, weights: Path | None = None, of: Path | None = None) -> None:
    """Write what the systems of a network open: their weights, ours, what `deeplab export` makes of them.

    Args:
        weights: A model of ours that was trained from the one that this wrote before.
        of: A photo with its classes, in a folder of such; None: Grace Hopper's.
    """
    checkpoint, origin = official(folder, shared) if name == TFLITE else converted(NETWORKS[name], folder, weights)
    checkpoints.save(folder / "deeplab.safetensors", checkpoint)
    work = {label: work_of(checkpoint.model, size) for label, size in sizes_of(name).items()}
    notes = {"weights": origin, "classes": len(checkpoint.classes), "photo": str(of) if of else None, "work": work}
    (folder / ABOUT).write_text(json.dumps(notes), encoding="utf-8")
    if not (find_spec("onnx") and find_spec("onnxscript") and find_spec("onnxruntime")):
        return
    seen = photos_beside(of) if of else crops() if origin == RANDOM else voc_photos(shared)
    formats = ("onnx", "openvino") if find_spec("openvino") else ("onnx",)
    for size in fixed_sizes(name) or [""]:
        graph = Graph(checkpoint, fixed_size=fixed_sizes(name).get(size))
        int8 = runtimes.Int8([graph.description().padded(as_timed(name, image, graph.fixed_size)) for image in seen])
        for format in formats:
            runtimes.save(exported(folder, f"deeplab, {format}", size), graph, format=format)
            runtimes.save(exported(folder, f"deeplab, {format}{INT8}", size), graph, format=format, int8=int8)
        if "openvino" in formats and has_bf16("cpu"):
            save_mixed(exported(folder, f"deeplab, openvino{INT8}{BF16}", size), graph, int8.images)


def save_mixed(path: Path, graph: Graph, images: Sequence[NDArray[np.uint8]]) -> None:
    """Write what 8 bits leave of a network, the rest to be run in bfloat16; nothing where that is never enough."""
    model = deeplab.Segmenter(graph.checkpoint, device="cpu")
    exact = [model.labels(image[0]) for image in images]
    for int8 in runtimes.less_and_less_int8(graph, images):
        runtimes.save(path, graph, format="openvino", int8=int8)
        mixed = deeplab.load(path, precision="bfloat16")
        equal = [(mixed.labels(image[0]) == labels).mean() for image, labels in zip(images, exact, strict=True)]
        if np.mean(equal) >= MIXED_AGREEMENT:
            return
    path.unlink()
    path.with_suffix(".bin").unlink()


def official(folder: Path, shared: Path) -> tuple[Checkpoint, str]:
    """The TensorFlow Lite model, and whose its weights are."""
    (folder / "theirs.tflite").write_bytes((shared / TFLITE_FILE).read_bytes())
    return import_module("deeplab.weights.tflite").convert(shared / TFLITE_FILE).checkpoint, "its own"


def converted(network: TheirNetwork, folder: Path, weights: Path | None) -> tuple[Checkpoint, str]:
    """A network of a PyTorch library, whose weights are written for it, and whose they are."""
    convert = partial(
        import_module(f"deeplab.weights.{network.source}").source.from_tensors, what=network.title, **network.options
    )
    known = deeplab.load(weights or network.trained, device="cpu") if weights or network.trained else None
    tensors, origin = weights_of(network, len(known.classes) if known else NUM_CLASSES), RANDOM
    if known:
        put(known.model.state_dict(), tensors, convert)
        origin = LEARNED if weights else f"those of `{network.trained}`"
    save_file(tensors, folder / "theirs.safetensors")
    return replace(convert(tensors).checkpoint, preprocessing=checkpoints.Preprocessing(None)), origin


def put(state: Mapping[str, Tensor], tensors: dict[str, Tensor], convert: Callable[..., Conversion]) -> None:
    """Put weights of ours into `tensors` of theirs, some of which have their channels in another order.

    Which value goes where is told by the conversion of tensors whose values are their own places.
    """
    places = {name: torch.arange(tensor.numel()).view(tensor.shape).float() for name, tensor in tensors.items()}
    conversion = convert(places)
    here = conversion.checkpoint.model.state_dict()
    for theirs, ours in conversion.placed.items():
        assert tensors[theirs].numel() < 2**24, f"{theirs} has more places than float32 can number"
        tensors[theirs].view(-1)[here[ours].flatten().long()] = state[ours].flatten()


def voc_photos(shared: Path) -> list[NDArray[np.uint8]]:
    """Some with the classes of PASCAL VOC, for the ranges of 8-bit numbers."""
    return [read_image(path) for path in sorted((shared / "data" / "coco128_voc21").rglob("images/*"))[:16]]


def photos_beside(path: Path) -> list[NDArray[np.uint8]]:
    """Some of the same folder, for the ranges of 8-bit numbers; sides are multiples of 16, as some networks want."""
    others = [each for each in sorted(path.parent.iterdir()) if each != path]
    images = [read_image(each) for each in others[:: max(1, len(others) // 16)]]
    return [image[: image.shape[0] // 16 * 16, : image.shape[1] // 16 * 16] for image in images]


def as_timed(name: str, image: NDArray[np.uint8], size: Size | None) -> NDArray[np.uint8]:
    """An image as a network sees the photo that is timed: scaled into the interpreter's square, or mirrored on to a
    fixed size. Of padding, which is labelled easily, there is no more than in that photo."""
    if name == TFLITE:
        return padded_square(image)[0]
    return mirrored(image, size) if size else image


def fixed_sizes(name: str) -> Mapping[str, Size]:
    """Those that a file is exported for each; none: a file takes any size."""
    return sizes_of(name) if name == TFLITE or NETWORKS[name].fixed else {}


def exported(folder: Path, system: str, size: str = "") -> Path:
    """The file of one of ours, for one size or any."""
    return folder / f"deeplab{size and '_'}{size}{ENDINGS[system]}"


@torch.no_grad()
def weights_of(network: TheirNetwork, num_classes: int) -> dict[str, Tensor]:
    """Random ones that behave, by name."""
    torch.manual_seed(0)
    model = network.build(num_classes).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches
        norm.reset_running_stats()
    pixels = torch.from_numpy(np.stack(crops())).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    batches = torch.split(((pixels - mean) / std)[..., :256, :256], 4)
    for batch in batches:
        model(batch)
    model.eval()
    classifier = model.get_submodule(network.classifier)
    assert isinstance(classifier, nn.Conv2d)
    assert classifier.bias is not None
    outputs: list[Tensor] = []
    hook = classifier.register_forward_hook(lambda *call: outputs.append(call[2]))
    model(batches[0])
    hook.remove()
    center, deviation = (statistic(outputs[0], dim=(0, 2, 3)) for statistic in (torch.mean, torch.std))
    classifier.weight /= deviation[:, None, None, None]
    classifier.bias.sub_(center).div_(deviation)
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def photo(path: str | None = None) -> NDArray[np.uint8]:
    """Grace Hopper's, which matplotlib brings, or another."""
    return read_image(Path(path)) if path else pictures(None, split="", limit=1)[0].image


def notes_of(folder: Path) -> dict[str, Any]:
    """What `prepare` noted of a network."""
    noted: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return noted


def crops() -> list[NDArray[np.uint8]]:
    """Parts of the photo."""
    image, generator = photo(), np.random.default_rng(0)
    corners = (generator.integers(0, np.array(image.shape[:2]) - CROP) for _ in range(CROPS))
    return [image[row : row + CROP, column : column + CROP].copy() for row, column in corners]


def work_of(model: SegmentationModel, size: Size) -> dict[str, int]:
    """Multiply-adds, those of them that are not on padding, and bytes read and written, of the convolutions."""
    with torch.device("meta"):
        shadow = deeplab.create_model(model.entry, **model.arguments).eval()
        with torch.inference_mode(), counted(shadow) as work:
            shadow.coarse_logits(torch.empty(1, 3, *size))
    return asdict(work)


def sizes_of(name: str) -> Mapping[str, Size]:
    """The interpreter's network has one size."""
    return {"513": SIZES["513"]} if name == TFLITE else NETWORKS[name].sizes


def open_system(name: str, system: str, size: str, folder: Path, threads: int) -> System:
    """One system for one network and one of its sizes."""
    if system in ENDINGS:
        fixed = size if size in fixed_sizes(name) and ENDINGS[system] != ".safetensors" else ""
        precision = "bfloat16" if system.endswith(BF16) else "float32"
        segmenter = deeplab.load(exported(folder, system, fixed), device="cpu", precision=precision)
        return lambda path: segmenter(path).labels
    if name == TFLITE:
        return open_interpreter(folder / "theirs.tflite", threads=threads if system == "all threads" else None)
    network = NETWORKS[name]
    model = network.build(notes_of(folder)["classes"])
    model.load_state_dict(load_file(folder / "theirs.safetensors"))
    model.eval()
    if system == DOCUMENTED:

        def documented(path: Path) -> Labels:
            batch = network.read(path)
            with torch.no_grad():
                return network.labels(model, batch).numpy()

        return documented
    model.to(memory_format=torch.channels_last)
    run: Any = network.labels
    if system == "compiled":
        torch._inductor.config.freezing = True
        run = torch.compile(network.labels)

    @torch.inference_mode()
    def at_its_best(path: Path) -> Labels:
        labels: Labels = run(model, network.read(path).contiguous(memory_format=torch.channels_last)).numpy()
        return labels

    return at_its_best


def open_interpreter(path: Path, *, threads: int | None) -> System:
    """The photo's longer side is scaled to that of the network, and what is missing is grey."""
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()

    def labels(path: Path) -> Labels:
        image = np.array(Image.open(path).convert("RGB"))
        square, (height, width) = padded_square(image)
        interpreter.set_tensor(given["index"], square[np.newaxis])
        interpreter.invoke()
        found = interpreter.get_tensor(gives["index"]).reshape(square.shape[:2])[:height, :width].astype(np.uint8)
        size = image.shape[1], image.shape[0]
        return np.array(Image.fromarray(found).resize(size, Image.Resampling.NEAREST))

    return labels


def padded_square(image: NDArray[np.uint8], *, side: int = 513) -> tuple[NDArray[np.uint8], Size]:
    """The image in the top left of a square, and its size there."""
    factor = side / max(image.shape[:2])
    height, width = (max(1, round(length * factor)) for length in image.shape[:2])
    square = np.full((side, side, 3), 128, np.uint8)
    square[:height, :width] = resize_image(image, (height, width))
    return square, (height, width)
