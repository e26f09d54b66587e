"""How the shipped `street` was chosen: trained without a sequence, measured on it and on CamVid's val.

    python benchmarks/street_folds.py --shared ../shared --hold-out 0006R0 --epochs 8 --long-sides 480 720 960
    python benchmarks/street_folds.py --options '{"loss": "cross_entropy+0.5*lovasz"}' --output runs/street-lovasz

The recipe is that of examples/train_street.py with fewer epochs and with --options in place of its own; test is not
opened. The long side is the size to which images are brought before the network, here varied for one set of weights.
"""

from __future__ import annotations

import argparse
import json
import runpy
from pathlib import Path
from typing import Any

import deeplab
from deeplab.data import DataSet, Sample, open_dataset
from deeplab.evaluation import evaluate

EXAMPLE = Path(__file__).parent.parent / "examples/train_street.py"


def link(samples: list[Sample], folder: Path) -> None:
    """The same photos and masks in another folder."""
    for sample in samples:
        for kind, file in (("images", sample.image), ("masks", sample.mask)):
            assert isinstance(file, Path), "every image of CamVid has its mask in a file"
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / file.name).symlink_to(file.resolve())


def without(camvid: DataSet, sequence: str, folder: Path) -> Path:
    """CamVid with a sequence of train as its val, and its val as its test."""
    train = camvid.split("train")
    link([sample for sample in train if not sample.image.name.startswith(sequence)], folder / "train")
    link([sample for sample in train if sample.image.name.startswith(sequence)], folder / "val")
    link(list(camvid.split("val")), folder / "test")
    (folder / "classes.txt").write_bytes((camvid.root / "classes.txt").read_bytes())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/camvid")
    parser.add_argument("--output", type=Path, default=Path("runs/street-fold"))
    parser.add_argument("--hold-out", default="0006R0", help="0001TP, 0006R0 or 0016E5")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--long-sides", type=int, nargs="+", default=[480, 720, 960])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", type=json.loads, default={}, help="of `deeplab train`, as JSON")
    arguments = parser.parse_args()
    example = runpy.run_path(str(EXAMPLE))
    data = without(open_dataset(arguments.shared / "data/camvid"), arguments.hold_out, arguments.output / "data")
    options: dict[str, Any] = example["TRAINING"] | {"train_splits": ("train",), "epochs": arguments.epochs}
    options |= arguments.options
    model = deeplab.train(data, output=arguments.output / "run", seed=arguments.seed, **options)
    fold = open_dataset(data)
    for long_side in arguments.long_sides:
        segmenter = deeplab.load(model, long_side=long_side)
        held_out, val = (evaluate(segmenter, fold, split=split).miou for split in ("val", "test"))
        found = {"long side": long_side, arguments.hold_out: round(held_out, 4), "val": round(val, 4)}
        print(json.dumps(arguments.options | found), flush=True)


if __name__ == "__main__":
    main()
