"""Our models beside the systems that their weights come from: writes docs/parity.md.

    python benchmarks/parity.py --shared ../shared --output docs/parity.md

Every case was run in the other system with random weights and random BatchNorm statistics, rebuilt here from a seed;
the converter reads them, and the logits are compared. ../shared/golden says how each was produced.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deeplab.files import written_aside
from deeplab.layers import Prepare

LIMIT = 2e-4
"""Of the logits' standard deviation; the smallest effect of one tensor that is in the wrong place is 1.4e-3."""


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


CASES = (
    Case("kazuto1011", "kazuto1011/deeplab-pytorch, v2 ResNet-101 MSC", "torch_kazuto1011/deeplabv2_resnet101_msc",
         full_size=False, bgr=True),
    Case("torchvision", "torchvision, v3 ResNet-50", "torch_torchvision/deeplabv3_resnet50", key="out"),
    Case("smp", "segmentation-models-pytorch, v3+ ResNet-50", "torch_smp/deeplabv3plus_resnet50_os16"),
    Case("vainf", "VainF/DeepLabV3Plus-Pytorch, v3+ ResNet-50", "torch_vainf/deeplabv3plus_resnet50_os16"),
    Case("jfzhang95", "jfzhang95/pytorch-deeplab-xception, v3+ ResNet-101", "torch_jfzhang95/deeplab_resnet_os16"),
    Case("detectron2", "detectron2 projects/DeepLab, v3+ R_103", "torch_detectron2/deeplabv3plus_r103_os16_globalpool",
         key="sem", full_size=False, times=4),
    Case("huggingface", "Hugging Face transformers, v3 MobileNetV2 0.35", "torch_hf/mobilenetv2_dm035_os16",
         full_size=False),
)  # fmt: skip

HEADER = (
    "# Parity with other systems\n\n"
    "Written by `python benchmarks/parity.py --shared ../shared --output docs/parity.md`. Each system ran with random "
    "weights and random BatchNorm statistics; the same weights went through our converter. The difference is the "
    "largest over all logits, divided by the standard deviation of the expected ones: rounding to float32 alone makes "
    f"5e-6 to 3e-5 of it, and a model counts as the same below {LIMIT:.0e}. Labels are compared where the recording has"
    " every logit.\n\n"
    "| `--source` | system | image | largest difference | equal labels |\n|---|---|---|---|---|\n"
)


@torch.inference_mode()
def logits_of(model: Any, image: np.ndarray[Any, Any], case: Case) -> np.ndarray[Any, Any]:
    """Ours for the input of the recording, (image - 128) / 64, in the place of our own normalisation."""
    x = torch.from_numpy(((image.astype(np.float32) - 128) / 64).transpose(2, 0, 1)[None].copy())
    model.prepare = Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
    logits: Tensor = (model if case.full_size else model.coarse_logits)(x.flip(1) if case.bgr else x)
    if case.times > 1:
        logits = interpolate(logits, scale_factor=case.times, mode="bilinear")
    return logits.numpy()


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
        facts, state = load_case.torch_state(case.folder)
        tensors = {name: torch.from_numpy(array) for name, array in state.items()}
        model = importlib.import_module(f"deeplab.weights.{case.source}").from_state(tensors, what=case.folder).model
        for run in facts["runs"]:
            recorded = load_case.run(case.folder, run)
            height, width = recorded["image"].shape[:2]
            logits = logits_of(model, recorded["image"], case)
            difference = load_case.close(logits, recorded, case.key)
            worst = max(worst, difference)
            whole = case.key in recorded.files
            equal = f"{(logits.argmax(1) == recorded[case.key].argmax(1)).mean():.2%}" if whole else "-"
            rows.append(f"| `{case.source}` | {case.system} | {height} x {width} | {difference:.1e} | {equal} |\n")
            print(rows[-1], end="", flush=True)
    with written_aside(arguments.output) as aside:
        aside.write_text(HEADER + "".join(rows), encoding="utf-8")
    if worst > LIMIT:
        sys.exit(f"parity: the largest difference is {worst:.1e}, above {LIMIT:.0e}")


if __name__ == "__main__":
    main()
