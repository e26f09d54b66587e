"""A small network and its files, which are written once, whichever of the processes of the tests is the first."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch
from filelock import FileLock
from torch import nn

from deeplab import runtimes
from deeplab.checkpoints import Checkpoint, Preprocessing
from deeplab.images import color_map
from deeplab.models import create_model
from deeplab.runtimes.graph import Graph
from deeplab.settings import EXPORT_SUFFIXES

NEEDED = {"exported-program": "torch", "onnx": "onnxscript", "openvino": "openvino"}
"""What writes the formats that take images of any size."""


@pytest.fixture(scope="module")
def checkpoint_of(few_layers):
    """`checkpoint_of(name="deeplabv3plus", long_side=None, **options)`: a model of three classes, random weights."""

    def make(name="deeplabv3plus", *, long_side=None, **options):
        torch.manual_seed(0)
        small = {"aspp_channels": 8, "atrous_rates": (1,)} if name.startswith("deeplabv3") else {}
        model = create_model(name, num_classes=3, **{"backbone": "resnet18", **small, **options})
        return Checkpoint(model.eval(), ("sky", "road", "tree"), color_map(3), Preprocessing(long_side=long_side))

    return make


@pytest.fixture(scope="module")
def in_8_bits():
    """`in_8_bits(checkpoint)`: the same one with filters of whole steps, at most 127 of them away from zero."""

    def change(checkpoint):
        for module in checkpoint.model.modules():
            if isinstance(module, nn.Conv2d):
                step = module.weight.data.abs().max() / 127
                module.weight.data = (module.weight.data / step).round() * step
        return checkpoint

    return change


@pytest.fixture(scope="module")
def checkpoint(checkpoint_of):
    return checkpoint_of()


@pytest.fixture(scope="module")
def file_of(checkpoint, tmp_path_factory):
    """`file_of(format)`: of `checkpoint`, for images of any size, with labels."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of all processes

    def write(format):
        path = (folder / "exported" / "tiny").with_suffix(EXPORT_SUFFIXES[format])
        with FileLock(folder / "exported.lock"):
            if not path.exists():
                graph = Graph(checkpoint, labels=True)
                for each, package in NEEDED.items():
                    if find_spec(package):
                        runtimes.save(path.with_suffix(EXPORT_SUFFIXES[each]), graph, format=each)
        return path

    return write
