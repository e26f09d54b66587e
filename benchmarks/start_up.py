"""How long a fresh process takes from `import deeplab` to its first label map, with torch and with onnxruntime alone.

    pip install -e '.[onnx]'
    python benchmarks/start_up.py photo.jpg

Each process is a new interpreter that imports, opens the model and segments the photo; the models take turns. A first
turn, which fills the caches of the file system and of compiled kernels, does not count. Printed are the medians of what
passed from the first import to the label map, and of the whole process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import deeplab

PROGRAM = """
import time
start = time.perf_counter()
import sys
import deeplab
deeplab.load(sys.argv[1])(sys.argv[2])
print(time.perf_counter() - start, "torch" in sys.modules)
"""


def measure(model: str, photo: Path) -> tuple[float, float, bool]:
    """Seconds to the label map and of the process, and whether torch was imported."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, str(photo)], check=True, capture_output=True, text=True
    )
    whole = time.perf_counter() - start
    seconds, has_torch = done.stdout.split()
    return float(seconds), whole, has_torch == "True"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", default="objects")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        exported = deeplab.export(arguments.model, Path(folder) / "model.onnx")
        models = {"torch": arguments.model, "onnxruntime": str(exported)}
        rounds = range(1 + arguments.rounds)
        turns = [{name: measure(model, arguments.photo) for name, model in models.items()} for _ in rounds]
    for name in models:
        labels, whole, has_torch = zip(*(turn[name] for turn in turns[1:]), strict=True)
        row = {"engine": name, "to_labels": statistics.median(labels), "process": statistics.median(whole)}
        print(json.dumps({**row, "torch": any(has_torch)}))


if __name__ == "__main__":
    main()
