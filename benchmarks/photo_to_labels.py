r"""From a photo's file to its label map beside the libraries that people use: writes docs/benchmarks.md.

    pip install -e '.[train,onnx,bench]'
    python benchmarks/photo_to_labels.py --models /tmp/models --prepare
    python benchmarks/photo_to_labels.py --models /tmp/models --networks torchvision_mobilenet --sizes 513
    python benchmarks/photo_to_labels.py --models /tmp/models --miou ../shared/data/coco128_voc21
    deeplab benchmark objects street --sizes 513x513 --growth docs/benchmarks-growth.png
    python benchmarks/photo_to_labels.py --models /tmp/models --write docs/benchmarks.md

Everything counts: the file is decoded, the network runs, the label map is an array of the photo's size. Each system has
a process of its own, which takes turns with the others, so that what else the machine does touches all alike; a ratio
is the median of those of neighbours in time. A turn is a million pixels, four of the smallest photos in a row, after
four million that do not count. Times are medians and quartiles. What was measured is kept in the folder of the models,
so that a long benchmark can be made in parts; measured again, a network gets new rows at that size.

The weights are the same in all. Published ones of torchvision and segmentation-models-pytorch cannot be had without a
network. Theirs are random at first, from a seed, and made to behave: the statistics of BatchNorm are those of crops of
the photo, and the last layer gives each class logits of mean 0 and deviation 1 there, so that every class is somewhere.
Such label maps are busier than those of trained weights, and for fewer bits a test that nothing passes; a network can
therefore learn to segment streets first, in a quarter of an hour on a core that computes in bfloat16:

    deeplab train ../shared/data/camvid --weights /tmp/models/torchvision_mobilenet/deeplab.safetensors --head start \
        --long-side 480 --crop-size 257 --epochs 13 --validate-every 13 --output /tmp/torchvision_mobilenet
    python benchmarks/photo_to_labels.py --models /tmp/models --networks torchvision_mobilenet --prepare \
        --weights /tmp/torchvision_mobilenet/best.safetensors --photo ../shared/data/camvid/val/images/0016E5_08085.jpg

On ResNet-50 smp's learned for 10 epochs (mIoU 0.39 on val). torchvision's began with the encoder that smp's had
learned, tensor by tensor under the same names, and a new head, and learned for 8 (--crop-size 193 --epochs 8
--loss cross_entropy; 0.37 on 20 images of val).

Hugging Face's network has the layers of `objects`, and gets its weights; the TensorFlow Lite model is the official one,
with its own.

Theirs runs as its documentation shows it, and at its best documented settings: channels-last memory in inference mode,
`torch.compile` with frozen weights, and for the interpreter all threads. No system resizes the photo, so that all make
the same label map; segmentation-models-pytorch takes multiples of 16 pixels only, and gets 512 for 513.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from speed_systems import (
    ABOUT,
    BF16,
    DOCUMENTED,
    ENDINGS,
    INT8,
    NETWORKS,
    SIZES,
    SYSTEMS,
    TFLITE,
    TITLES,
    Labels,
    notes_of,
    open_system,
    photo,
    prepare,
    sizes_of,
)

from deeplab.data import load_sample, open_dataset
from deeplab.evaluation import float32_peak
from deeplab.files import written_aside
from deeplab.images import mirrored, write_image
from deeplab.metrics import confusion_matrix, miou, paired_difference
from deeplab.training.fingerprint import has_bf16

REST = 0.1
"""Seconds between two turns: the threads of onnxruntime wait busily for more work, for 0.05 seconds."""

TURN = 2**20
"""Pixels that a system labels when it is its turn: four small photos in a row, or one that is larger."""

WARM = 2**22
"""Pixels that each system labels before it is timed: engines prepare themselves, and the compiled label map of ours is
loaded once there were so many."""

ONE_CLASS = 0.95
"""Share of the photo from which on a label map of one class proves nothing."""

RESULTS = "results.json"
"""In the folder of the models: what was measured so far."""


def serve(connection: Connection, name: str, system: str, size: str, folder: Path, threads: int) -> None:
    """A process that answers each path, and how often to label it, with the seconds of one time and the label map."""
    torch.set_num_threads(threads)
    labels = open_system(name, system, size, folder, threads)
    connection.send(None)
    while True:
        path, times = connection.recv()
        start = time.perf_counter()
        for _ in range(times):
            found = labels(path)
        connection.send(((time.perf_counter() - start) / times, found.astype(np.uint8)))


class Processes:
    """One for each system of a network; a context, at whose end they stop."""

    def __init__(self, name: str, systems: Iterable[str], size: str, folder: Path, threads: int) -> None:
        context = get_context("spawn")
        self.stack, self.ends = ExitStack(), dict[str, Connection]()
        for system in systems:
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, name, system, size, folder, threads), daemon=True)
            process.start()
            there.close()
            self.stack.callback(process.join)
            self.stack.callback(process.kill)
            self.ends[system] = here
        for system, end in self.ends.items():
            try:
                end.recv()
            except EOFError:
                sys.exit(f"photo_to_labels: {name}, {system}: its process has ended; its own words are above")

    def ask(self, system: str, path: Path, times: int = 1) -> tuple[float, Labels]:
        """Seconds, each of so many times, and labels."""
        time.sleep(REST)
        self.ends[system].send((path, times))
        try:
            seconds, labels = self.ends[system].recv()
        except EOFError:
            sys.exit(f"photo_to_labels: {system}: its process has ended; its own words are above")
        return seconds, labels

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()


def present(name: str, folder: Path) -> list[str]:
    """The systems that can run this network here; a line says what is left out."""
    found = []
    for system in SYSTEMS:
        if system.endswith(BF16) and not has_bf16("cpu"):
            print(f"{name}: {system} is left out, this processor has no instructions for it", file=sys.stderr)
        elif system in ENDINGS:
            if any(folder.glob(f"deeplab*{ENDINGS[system]}")):
                found.append(system)
            else:
                why = "what writes it is not installed, or it never has enough equal labels"
                print(f"{name}: {system} is left out, it has no file: {why}", file=sys.stderr)
        elif system == DOCUMENTED or (system == "all threads") == (name == TFLITE):
            found.append(system)
    return found


def is_installed(name: str) -> bool:
    package = "ai_edge_litert" if name == TFLITE else NETWORKS[name].package
    if find_spec(package) is None:
        print(f"{name} is left out, {package} is not installed", file=sys.stderr)
    return find_spec(package) is not None


def measure(name: str, size: str, systems: Sequence[str], folder: Path, *, rounds: int, threads: int) -> None:
    """Let the systems take turns, print the rows, and keep them in the place of all earlier ones of this size."""
    height, width = sizes_of(name)[size]
    warm, turn = (math.ceil(pixels / (height * width)) for pixels in (WARM, TURN))
    file = folder / name / f"{height}x{width}.jpg"
    write_image(file, mirrored(photo(notes_of(folder / name)["photo"]), (height, width)))
    with Processes(name, systems, size, folder / name, threads) as processes:
        labels = {system: processes.ask(system, file, warm)[1] for system in systems}
        if np.bincount(labels[DOCUMENTED].ravel()).max() > ONE_CLASS * labels[DOCUMENTED].size:
            sys.exit(f"photo_to_labels: {name} says one class everywhere, so that equal labels say nothing; train it")
        times = [{system: processes.ask(system, file, turn)[0] for system in systems} for _ in range(rounds)]
    theirs = [system for system in systems if system not in ENDINGS]
    forget(folder, f"{name} {size} ")
    best = min(theirs, key=lambda system: statistics.median(turns[system] for turns in times))
    for system in systems:
        seconds = [turns[system] for turns in times]
        row = {
            "network": name,
            "size": size,
            "pixels": [height, width],
            "system": system,
            "threads": threads,
            "rounds": rounds,
            "seconds": statistics.median(seconds),
            "quartiles": list(np.quantile(seconds, (0.25, 0.75))),
            "documented": statistics.median(turns[DOCUMENTED] / turns[system] for turns in times),
            "best": statistics.median(turns[best] / turns[system] for turns in times),
            "agreement": float((labels[system] == labels[DOCUMENTED]).mean()),
        }
        print(json.dumps(row), flush=True)
        keep(folder, "rows", f"{name} {size} {system}", row)


def measure_machine(folder: Path, threads: int) -> None:
    """What a product of matrices and a copy of 256 MiB reach, and reached at most when they were measured before."""
    torch.set_num_threads(threads)
    source = torch.ones(2**26)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - start)
    machine: dict[str, Any] = {
        "processor": processor(),
        "threads": threads,
        "multiply_adds": float32_peak(),
        "bytes": 2 * source.nbytes / min(seconds),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "versions": {package: installed(package) for package in PACKAGES if installed(package)},
    }
    earlier = kept(folder).get("machine", {}).get("machine", {})
    machine |= {speed: max(machine[speed], earlier.get(speed, 0)) for speed in ("multiply_adds", "bytes")}
    print(json.dumps(machine))
    keep(folder, "machine", "machine", machine)


PACKAGES = (
    "torch", "torchvision", "onnxruntime", "openvino", "ai-edge-litert", "segmentation-models-pytorch", "transformers",
)  # fmt: skip


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """Its name, where the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def measure_miou(name: str, systems: Sequence[str], folder: Path, data: Path, threads: int) -> None:
    """The mIoU of each system on the test images of a data set with the classes of PASCAL VOC."""
    dataset = open_dataset(data)
    counts: dict[str, list[NDArray[np.int64]]] = {system: [] for system in systems}
    with Processes(name, systems, "513", folder / name, threads) as processes:
        for sample in dataset.split("test"):
            assert isinstance(sample.image, Path)
            _, mask = load_sample(sample, dataset)
            for system in systems:
                _, labels = processes.ask(system, sample.image)
                counts[system].append(
                    confusion_matrix(labels, mask, num_classes=len(dataset.classes), ignore_index=dataset.ignore_index)
                )
    documented = np.stack(counts[DOCUMENTED])
    for system in systems:
        own = np.stack(counts[system])
        difference = paired_difference(documented, own, miou)
        row = {"network": name, "system": system, "miou": miou(own.sum(axis=0)), "images": len(own)}
        row |= {"more": difference.value, "more_low": difference.low, "more_high": difference.high}
        print(json.dumps(row), flush=True)
        keep(folder, "miou", f"{name} {system}", row)


def keep(folder: Path, kind: str, key: str, value: dict[str, Any]) -> None:
    """Put it into the file of results, in the place of an earlier one of the same key."""
    results = kept(folder)
    results.setdefault(kind, {})[key] = value
    with written_aside(folder / RESULTS) as aside:
        aside.write_text(json.dumps(results, indent=1), encoding="utf-8")


def forget(folder: Path, start: str) -> None:
    """Take out the rows whose keys start so: ratios only compare within a run."""
    results = kept(folder)
    results["rows"] = {key: row for key, row in results.get("rows", {}).items() if not key.startswith(start)}
    with written_aside(folder / RESULTS) as aside:
        aside.write_text(json.dumps(results, indent=1), encoding="utf-8")


def kept(folder: Path) -> dict[str, Any]:
    path = folder / RESULTS
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


HEADER = (
    "# From a photo to its label map\n\n"
    "Written by `python benchmarks/photo_to_labels.py`, whose first lines say how it is measured. Here: {processor}, "
    "{threads} threads, {instructions} in PyTorch; {versions}.\n\n"
    "A product of float32 matrices reaches {multiply_adds:.0f} billion multiply-adds a second there (*the peak*), "
    "copying moves {bytes:.1f} GB a second. *Documented* is the time of the library as documented over that of the "
    "row, *best* that of its best setting, each the median over neighbouring turns, which may differ from the ratio of "
    "the medians: 2 is twice as fast. *Of the peak* is the time that the multiply-adds of the convolutions, without "
    "those on padding, take at the peak over that of the row; bfloat16, 8-bit numbers and Winograd's convolutions can "
    "be above 100 %. Times are seconds for one photo, from its file to its label map, medians and quartiles; where "
    "those are far apart, the machine had other work too.\n\n"
    "Where the weights are random, *equal labels* in bfloat16 and 8 bits say nothing of trained ones.\n"
)

COLUMNS = ("photo", "system", "seconds", "quartiles", "documented", "best", "equal labels", "of the peak")

BAR, FEW_BITS_BAR = 3.0, 6.0
"""Times faster than as documented: in float32, and in bfloat16 or 8 bits."""

EQUAL, FEW_BITS_EQUAL = 0.999, 0.99
"""Labels, at least."""


def write(path: Path, folder: Path) -> None:
    """The page of all that was measured so far."""
    results = kept(folder)
    rows, machine = list(results.get("rows", {}).values()), results["machine"]["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    facts = {**machine, "versions": versions, "multiply_adds": machine["multiply_adds"] / 1e9}
    tables, bars = [], []
    for name, title in TITLES.items():
        own = sorted((row for row in rows if row["network"] == name), key=place)
        if not own:
            continue
        notes, turns = notes_of(folder / name), sorted({row["rounds"] for row in own})
        counts = " or ".join(map(str, turns))
        about = f"Weights: {notes['weights']}; {notes['classes']} classes; {counts} turns of each."
        tables.append(f"\n## {title}\n\n{about}\n\n")
        tables.append(table(COLUMNS, [cells(row, notes["work"], machine) for row in own]))
        by_size = [[row for row in own if row["size"] == size] for size in SIZES]
        bars += [bar_of(name, those, notes["work"], machine, results.get("miou", {})) for those in by_size if those]
    header = HEADER.format(**{**facts, "bytes": machine["bytes"] / 1e9})
    parts = [header, f"\n## The bars\n\n{BARS}\n{table(BAR_COLUMNS, bars)}", *tables]
    scores = sorted(results.get("miou", {}).values(), key=lambda row: list(SYSTEMS).index(row["system"]))
    if scores:
        about = f"On {scores[0]['images']} images; the intervals are of the paired differences, over the images."
        columns = ("system", "mIoU", "more than as documented", "95 %")
        shown = [(row["system"], *signed(row)) for row in scores]
        parts.append(f"\n## mIoU of the TensorFlow Lite model\n\n{about}\n\n{table(columns, shown)}")
    growth = path.with_name("benchmarks-growth.png")
    if growth.is_file():
        parts.append(f"\n## Growth\n\n`deeplab benchmark --growth`\n\n![time and memory]({growth.name})\n")
    with written_aside(path) as aside:
        aside.write_text("".join(parts), encoding="utf-8")


BAR_COLUMNS = ("network", "photo", "at the peak", "in float32", "times", "bar", "in fewer bits", "times", "bar")

BARS = (
    f"Wanted are {BAR:.0f} times the speed of the PyTorch libraries as documented at float32 with {EQUAL:.1%} of the "
    f"labels equal, {FEW_BITS_BAR:.0f} times in bfloat16 or 8 bits with {FEW_BITS_EQUAL:.0%}, and more than the "
    "interpreter's, at its best, on its own model with no lower mIoU. *At the peak* is what no float32 engine can pass "
    "on this processor unless it multiplies less: the time as documented over that of the multiply-adds at the peak.\n"
)


def bar_of(name: str, rows: list[dict[str, Any]], work: Any, machine: Any, scores: Any) -> tuple[str, ...]:
    """A network and a size, the fastest of ours in float32 and in fewer bits, and whether they meet the bars.

    The fastest of those with enough equal labels, where there are any.
    """
    documented = next(row for row in rows if row["system"] == DOCUMENTED)
    bound = documented["seconds"] * machine["multiply_adds"] / work[documented["size"]]["inside"]
    found: list[str] = []
    for few_bits, bar, least in ((False, BAR, EQUAL), (True, FEW_BITS_BAR, FEW_BITS_EQUAL)):
        ours = [row for row in rows if row["system"] in ENDINGS and row["system"].endswith((BF16, INT8)) == few_bits]
        if not ours:
            found += ["-", "-", "not measured"]
            continue
        fastest = max(ours, key=lambda row: (name == TFLITE or row["agreement"] >= least, row["documented"]))
        if name == TFLITE:
            verdict = "faster" if fastest["best"] > 1 else "slower"
            score = scores.get(f"{name} {fastest['system']}")
            if score and score["more"] < 0:
                verdict += ", lower mIoU" if score["more_high"] < 0 else ", lower mIoU within the interval"
        else:
            slow = "beyond the peak" if not few_bits and bound < bar else "too slow"
            reasons = [slow] * (fastest["documented"] < bar) + ["other labels"] * (fastest["agreement"] < least)
            verdict = f"missed: {', '.join(reasons)}" if reasons else "met"
        found += [fastest["system"], f"{fastest['documented']:.2f}", verdict]
    return name, photo_size(documented), f"{bound:.2f}", *found


def signed(row: dict[str, Any]) -> tuple[str, str, str]:
    """An mIoU, how much more it is than that as documented, and the interval of that."""
    return f"{row['miou']:.4f}", f"{row['more']:+.4f}", f"{row['more_low']:+.4f} .. {row['more_high']:+.4f}"


def place(row: dict[str, Any]) -> tuple[int, int]:
    return list(SIZES).index(row["size"]), list(SYSTEMS).index(row["system"])


def photo_size(row: dict[str, Any]) -> str:
    return " x ".join(map(str, row["pixels"]))


def cells(row: dict[str, Any], work: Any, machine: Any) -> tuple[str, ...]:
    """A row of a network's table."""
    at_peak = work[row["size"]]["inside"] / machine["multiply_adds"]
    return (
        photo_size(row),
        row["system"],
        f"{row['seconds']:.3f}",
        " .. ".join(f"{seconds:.3f}" for seconds in row["quartiles"]),
        f"{row['documented']:.2f}",
        f"{row['best']:.2f}",
        f"{row['agreement']:.3%}",
        f"{at_peak / row['seconds']:.0%}",
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="folder for the models and what was measured")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--prepare", action="store_true", help="make the models, and measure nothing")
    parser.add_argument(
        "--weights", type=Path, help="make the one of --networks anew, with those of this model of ours"
    )
    parser.add_argument("--photo", type=Path, help="with --weights: a photo with their classes, in a folder of such")
    parser.add_argument("--networks", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, help="the first one is always there; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--miou", type=Path, metavar="DATA", help="measure the mIoU of the TensorFlow Lite model here")
    parser.add_argument("--machine", action="store_true", help="measure what the processor and the memory reach")
    parser.add_argument("--write", type=Path, metavar="PAGE.md", help="write the page of what was measured so far")
    arguments = parser.parse_args()
    if arguments.weights and len(arguments.networks) != 1:
        parser.error("--weights are those of one network; name it by --networks")
    folder: Path = arguments.models
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the processes to come
    if arguments.write:
        write(arguments.write, folder)
        return
    if arguments.machine:
        measure_machine(folder, arguments.threads)
        return
    for name in arguments.networks:
        if not is_installed(name):
            continue
        if arguments.weights or not (folder / name / ABOUT).is_file():
            (folder / name).mkdir(parents=True, exist_ok=True)
            prepare(name, folder / name, arguments.shared, weights=arguments.weights, of=arguments.photo)
        if arguments.prepare:
            continue
        systems = [
            system
            for system in present(name, folder / name)
            if system == DOCUMENTED or arguments.systems is None or system in arguments.systems
        ]
        if arguments.miou:
            if name == TFLITE:
                measure_miou(name, systems, folder, arguments.miou, arguments.threads)
            continue
        for size in arguments.sizes:
            if size in sizes_of(name):
                measure(name, size, systems, folder, rounds=arguments.rounds, threads=arguments.threads)


if __name__ == "__main__":
    main()
