"""Our models beside the systems that their weights come from: writes docs/parity.md.

    python benchmarks/parity.py --shared ../shared --output docs/parity.md

Every case was run in the other system with random weights and random BatchNorm statistics, rebuilt here from a seed;
the converter reads them, and the logits are compared. ../shared/golden and tests/golden say how each was produced.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from deeplab.files import written_aside
from deeplab.layers import Prepare
from deeplab.models import SegmentationModel
from deeplab.weights import Agreement

LIMIT = Agreement.limit
"""Of the logits' standard deviation."""


class Case(NamedTuple):
    """A recorded run of another system, and how its logits are to be had from ours."""

    source: str
    system: str
    folder: str
    key: str = "logits"
    full_size: bool = True
    bgr: bool = False
    times: int = 1
    """By how much the other system enlarged its coarse logits."""
    output_stride: int | None = None
    """Where it is not the one that the system evaluates with."""


CASES = (
    Case("kazuto1011", "kazuto1011/deeplab-pytorch, v2 ResNet-101 MSC", "torch_kazuto1011/deeplabv2_resnet101_msc",
         full_size=False, bgr=True),
    Case("torchvision", "torchvision, v3 ResNet-50", "torch_torchvision/deeplabv3_resnet50", key="out"),
    Case("smp", "segmentation-models-pytorch, v3+ ResNet-50", "torch_smp/deeplabv3plus_resnet50_os16"),
    Case("smp", "segmentation-models-pytorch, v3 MobileNetV2", "torch_smp/deeplabv3_mobilenet_v2_os16",
         output_stride=16),
    Case("vainf", "VainF/DeepLabV3Plus-Pytorch, v3+ ResNet-50", "torch_vainf/deeplabv3plus_resnet50_os16"),
    Case("vainf", "VainF/DeepLabV3Plus-Pytorch, v3+ MobileNetV2", "torch_vainf/deeplabv3plus_mobilenet_os16"),
    Case("jfzhang95", "jfzhang95/pytorch-deeplab-xception, v3+ ResNet-101", "torch_jfzhang95/deeplab_resnet_os16"),
    Case("jfzhang95", "jfzhang95/pytorch-deeplab-xception, v3+ Xception", "torch_jfzhang95/deeplab_xception_os16"),
    Case("detectron2", "detectron2 projects/DeepLab, v3+ R_103", "torch_detectron2/deeplabv3plus_r103_os16_globalpool",
         key="sem", full_size=False, times=4),
    Case("tensorflow", "official code (TensorFlow), v3 MobileNetV2", "tf_deeplab/mobilenetv2_voc", full_size=False),
    Case("tensorflow", "official code (TensorFlow), v3+ Xception-65", "tf_deeplab/xception65_v3plus", full_size=False),
    Case("tensorflow", "official code (TensorFlow), v3+ ResNet-101 beta", "tf_deeplab/resnet101beta_v3plus",
         full_size=False),
    Case("tensorflow", "official code (TensorFlow), v3+ Xception-71 DPC", "tf_deeplab/xception71_dpc", full_size=False),
    Case("tensorflow", "official code (TensorFlow), MobileNetV3-Small", "tf_deeplab/mobilenetv3_small_seg",
         full_size=False),
    Case("huggingface", "Hugging Face transformers, v3 MobileNetV2 0.35", "torch_hf/mobilenetv2_dm035_os16",
         full_size=False),
)  # fmt: skip

RECORDINGS = Path(__file__).parents[1] / "tests" / "golden"
"""What was recorded for this project (its README says how): 2000 of the logits of each case."""

RECORDED = (
    ("mmsegmentation", "mmsegmentation, v3 ResNet-18 v1b", "mmsegmentation_v3_r18b_d8", 8),
    ("mmsegmentation", "mmsegmentation, v3 ResNet-50", "mmsegmentation_v3_r50_d8", 8),
    ("mmsegmentation", "mmsegmentation, v3+ ResNet-18", "mmsegmentation_v3plus_r18_d8", 8),
    ("mmsegmentation", "mmsegmentation, v3+ ResNet-50 D16-MG124", "mmsegmentation_v3plus_r50_d16_mg124", 16),
    ("mmsegmentation", "mmsegmentation, v3+ MobileNetV2", "mmsegmentation_v3plus_mobilenetv2_d8", 8),
    ("smp", "segmentation-models-pytorch, v3 ResNet-18", "smp_v3_r18_os8", 8),
    ("smp", "segmentation-models-pytorch, v3+ ResNet-34", "smp_v3plus_r34_os8", 8),
    ("smp", "segmentation-models-pytorch, v3+ MobileNetV2", "smp_v3plus_mobilenet", 16),
)

HEADER = (
    "# Parity with other systems\n\n"
    "Written by `python benchmarks/parity.py --shared ../shared --output docs/parity.md`. Each system ran with random "
    "weights and random BatchNorm statistics; the same weights went through our converter. The difference is the "
    "largest over all logits, divided by the standard deviation of the expected ones: rounding to float32 alone makes "
    f"5e-6 to 3e-5 of it, and a model counts as the same below {LIMIT:.0e}. Labels are compared where the recording has"
    " every logit.\n\n"
    "| `--source` | system | image | largest difference | equal labels |\n|---|---|---|---|---|\n"
)


def rebuilt(case: Case, load_case: Any, run: str, facts: Mapping[str, Any]) -> SegmentationModel:
    """Our model with the weights of the recording, for images that are (image - 128) / 64 already, or, for the
    official code, in 0 .. 1."""
    module = importlib.import_module(f"deeplab.weights.{case.source}")
    model: SegmentationModel
    if case.source == "tensorflow":
        stride = int(run.partition("_")[0].removeprefix("os"))
        model = module.source.from_tensors(
            module.as_tensors(load_case.tf(case.folder)[1]),
            output_stride=stride,
            what=case.folder,
            **{name: [int(side) for side in sides] for name, sides in facts.get("flags", {}).items()},
        ).checkpoint.model
        if "even" in run:
            model.prepare.stride = 1  # that run was not padded to k * 16 + 1
        return model
    tensors = {name: torch.from_numpy(array) for name, array in load_case.torch_state(case.folder)[1].items()}
    converted = module.source.from_tensors(tensors, what=case.folder, output_stride=case.output_stride)
    model = converted.checkpoint.model
    model.prepare = Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
    return model


@torch.inference_mode()
def difference_from_recording(source: str, name: str, output_stride: int, seeded: Any) -> tuple[float, tuple[int, int]]:
    """The largest difference of the logits from those in tests/golden, and the size of the picture."""
    module = importlib.import_module(f"deeplab.weights.{source}")
    with np.load(RECORDINGS / f"{name}.npz") as arrays:
        facts, kept, deviation = json.loads(str(arrays["described"])), arrays["kept"], float(arrays["deviation"])
    tensors = {name: torch.from_numpy(array) for name, array in seeded.state(facts["shapes"]).items()}
    options = module.configured(module.model_of(facts["config"])) if "config" in facts else {}
    model = module.source.from_tensors(
        tensors, what=name, **{**options, "output_stride": output_stride}
    ).checkpoint.model
    model.prepare = Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
    logits = model(torch.from_numpy(seeded.picture(*facts["picture"]))).numpy()
    return float(np.abs(logits.ravel()[seeded.places(logits.size)] - kept).max() / deviation), facts["picture"]


@torch.inference_mode()
def logits_of(model: SegmentationModel, image: NDArray[np.uint8], case: Case) -> NDArray[np.float32]:
    """Ours for the image of the recording, in the order of axes of that system."""
    official = case.source == "tensorflow"
    pixels = image.astype(np.float32) / 255 if official else (image.astype(np.float32) - 128) / 64
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    logits: Tensor = (model if case.full_size else model.coarse_logits)(x.flip(1) if case.bgr else x)
    if case.times > 1:
        logits = interpolate(logits, scale_factor=case.times, mode="bilinear")
    return logits.permute(0, 2, 3, 1).numpy() if official else logits.numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--output", type=Path, default=Path("docs/parity.md"))
    arguments = parser.parse_args()
    golden = arguments.shared / "golden"
    sys.path.insert(0, str(golden))
    load_case = importlib.import_module("load_case")
    rows, worst = [], 0.0
    for case in CASES:
        for run, facts in load_case.meta(case.folder)["runs"].items():
            recorded = load_case.run(case.folder, run)
            logits = logits_of(rebuilt(case, load_case, run, facts), recorded["image"], case)
            difference = load_case.close(logits, recorded, case.key)
            worst = max(worst, difference)
            classes = -1 if case.source == "tensorflow" else 1
            whole = case.key in recorded.files
            same = whole and (logits.argmax(classes) == recorded[case.key].argmax(classes)).mean()
            height, width = recorded["image"].shape[:2]
            size = f"{height} x {width}{', stride 8' if run.startswith('os8') else ''}"
            rows.append(
                f"| `{case.source}` | {case.system} | {size} | {difference:.1e} | {f'{same:.2%}' if whole else '-'} |\n"
            )
            print(rows[-1], end="", flush=True)
    sys.path.insert(0, str(RECORDINGS))
    seeded = importlib.import_module("seeded")
    for source, system, name, output_stride in RECORDED:
        difference, (height, width) = difference_from_recording(source, name, output_stride, seeded)
        worst = max(worst, difference)
        size = f"{height} x {width}{', stride 8' if output_stride == 8 else ''}"
        rows.append(f"| `{source}` | {system} | {size} | {difference:.1e} | - |\n")
        print(rows[-1], end="", flush=True)
    with written_aside(arguments.output) as aside:
        aside.write_text(HEADER + "".join(rows), encoding="utf-8")
    if worst > LIMIT:
        sys.exit(f"parity: the largest difference is {worst:.1e}, above {LIMIT:.0e}")


if __name__ == "__main__":
    main()
