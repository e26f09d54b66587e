"""DeepLab: semantic segmentation in PyTorch.

The public names, each loaded on first use, so that `import deeplab` imports no torch:

- `load`: a segmenter from a name or a model file
- `segment`: one image in, its segmentation out
- `train`: train a model on a folder of images and masks
- `evaluate`: measure a model on a data set
- `compare`: two models on the same images
- `explain`: what in an image speaks for each class, and how sure a model is
- `export`: write a model for an inference engine, ONNX for one
- `benchmark`: how long models take on this machine
- `tune_crf`: search the CRF that suits a model and a data set
- `convert`: another system's checkpoint into ours
- `doctor`: examine a data set before training on it
- `create_model`: a network with random weights, by name
- `list_models`: the names of the model variants
- `list_backbones`: the names of the backbones
- `list_weights`: the names of the trained models that `load` takes: ours, and those that others published
- `Segmenter`: what `load` returns; call it with an image
- `Segmentation`: what a segmenter returns: labels, classes, palette, probabilities
- `DeepLabError`: the base of every error that a user can cause
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeplab.api import (
        benchmark,
        compare,
        convert,
        create_model,
        doctor,
        evaluate,
        explain,
        export,
        list_backbones,
        list_models,
        list_weights,
        load,
        segment,
        train,
        tune_crf,
    )
    from deeplab.errors import DeepLabError
    from deeplab.inference import Segmenter
    from deeplab.results import Segmentation

    __version__: str

__all__ = [
    "DeepLabError",
    "Segmentation",
    "Segmenter",
    "benchmark",
    "compare",
    "convert",
    "create_model",
    "doctor",
    "evaluate",
    "explain",
    "export",
    "list_backbones",
    "list_models",
    "list_weights",
    "load",
    "segment",
    "train",
    "tune_crf",
]

_ROOMS = {"DeepLabError": "errors", "Segmentation": "results", "Segmenter": "inference"}  # the rest: api


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("deeplab")
    if name not in __all__:
        raise AttributeError(f"module 'deeplab' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"deeplab.{_ROOMS.get(name, 'api')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
