"""Models that were made ready for an engine on this machine: exported, proven and timed once, then kept.

They lie in the cache, in a folder for each model file with one for each set of versions. Finding one needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from deeplab.files import cache_folder, written_aside
from deeplab.runtimes._exported import FORMAT
from deeplab.settings import EXPORT_SUFFIXES

ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Those that may be chosen, all of which take images of any size, and the packages that run them."""

EXPORTERS = ("torch", "onnx", "onnxscript")
"""What writes the files of all of them."""

VERSIONS_KEPT = 3
"""Of a model; what was made with earlier ones is deleted."""


class Ready:
    """What there is of a model file, made by these versions of what exports, runs and is compared with it."""

    def __init__(self, model: Path) -> None:
        content = hashlib.sha256(model.read_bytes())
        versions = hashlib.sha256(json.dumps([FORMAT, _versions()]).encode())
        self.folder = cache_folder() / "engines" / content.hexdigest()[:32] / versions.hexdigest()[:16]
        self.choice = self.folder / "choice.json"

    def file(self, engine: str) -> Path:
        """Where the model is for an engine, or will be."""
        return self.folder / f"model{EXPORT_SUFFIXES[engine]}"

    def knows(self, engine: str) -> bool:
        """Whether the model was made ready for an engine; "auto": whether the fastest was chosen."""
        return self.chosen() is not None if engine == "auto" else self.file(engine).is_file()

    def find(self, engine: str) -> Path | None:
        """What was made ready; None where "auto" means torch itself."""
        chosen = self.chosen() if engine == "auto" else engine
        return None if chosen in (None, "torch") else self.file(str(chosen))

    def forget(self) -> None:
        """Delete what was made ready."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def forget_earlier(self) -> None:
        """Delete what was made ready with versions that are no longer used: all but the latest few."""
        with suppress(OSError):  # another process does so, too
            folders = sorted(self.folder.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)
            for folder in folders[:-VERSIONS_KEPT]:
                shutil.rmtree(folder)

    def chosen(self) -> str | None:
        """The engine that was found to be the fastest of those installed; None: they were not compared yet."""
        try:
            kept = json.loads(self.choice.read_text(encoding="utf-8"))
            engine = str(kept["engine"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        there = engine == "torch" or (engine in ENGINES and self.file(engine).is_file())
        return engine if there else None

    def choose(self, ratios: dict[str, float]) -> None:
        """Note the fastest, by the times of engines over that of torch."""
        ratios = {"torch": 1.0, **ratios}
        engine = min(ratios, key=lambda name: ratios[name])
        with written_aside(self.choice) as aside:
            aside.write_text(json.dumps({"engine": engine, "time_over_torch": ratios}), encoding="utf-8")


def installed_engines() -> list[str]:
    """Those of `ENGINES` that can run here."""
    return [name for name, package in ENGINES.items() if find_spec(package) is not None]


def _versions() -> dict[str, list[str]]:
    """By package, the names and versions that it is installed under, as torch-2.9.1 or onnxruntime_gpu-1.23.2."""
    packages = ("deeplab", *EXPORTERS, *(ENGINES[name] for name in installed_engines()))
    return {package: _installed_as(package) for package in packages}


def _installed_as(package: str) -> list[str]:
    """Read off the folders beside it: importlib.metadata takes longer to load than to segment a small image, and does
    not find the package onnxruntime where it comes by another name.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    return sorted(folder.stem for folder in Path(spec.origin).parents[1].glob(f"{package}[-_]*.dist-info"))
