from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from deeplab.layers import Prepare


class Golden:
    """Another system's exact outputs for weights that are rebuilt from a seed."""

    def __init__(self, load_case, case):
        self.load_case, self.case = load_case, case
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves the closing of files to the interpreter
            self.facts, arrays = load_case.torch_state(case)
        self.state = {name: torch.from_numpy(array) for name, array in arrays.items()}

    @torch.inference_mode()
    def difference(self, model, run, *, key="logits", full_size=False, bgr=False, times=1):
        """The largest difference of the logits, enlarged so many `times`, over the expected ones' standard deviation.

        The network saw (image - 128) / 64, which is put in the place of the model's own normalisation.
        """
        recorded = self.load_case.run(self.case, run)
        x = torch.from_numpy(self.load_case.torch_input(recorded["image"]))
        own, model.prepare = model.prepare, Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
        try:
            logits = (model if full_size else model.coarse_logits)(x.flip(1) if bgr else x)
        finally:
            model.prepare = own
        logits = interpolate(logits, scale_factor=times, mode="bilinear") if times > 1 else logits
        return self.load_case.close(logits.numpy(), recorded, key)


@pytest.fixture(scope="session")
def golden(golden_module):
    """`golden(case)`: a case of ../shared/golden."""
    return lambda case: Golden(golden_module, case)


class Recording:
    """Another system's outputs that lie in tests/golden, for weights and a picture that are rebuilt from a seed."""

    def __init__(self, seeded, file):
        self.seeded = seeded
        with np.load(file) as arrays:
            self.kept, self.deviation = arrays["kept"], float(arrays["deviation"])
            self.facts = json.loads(str(arrays["described"]))
        self.state = {name: torch.from_numpy(array) for name, array in seeded.state(self.facts["shapes"]).items()}

    @torch.inference_mode()
    def difference(self, model):
        """The largest difference of the logits over the expected ones' standard deviation."""
        own, model.prepare = model.prepare, Prepare([0] * 3, [1] * 3, stride=model.prepare.stride)
        try:
            logits = model(torch.from_numpy(self.seeded.picture(*self.facts["picture"]))).numpy()
        finally:
            model.prepare = own
        assert list(logits.shape) == self.facts["outputs"]
        return np.abs(logits.ravel()[self.seeded.places(logits.size)] - self.kept).max() / self.deviation


GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def seeded():
    """The module that makes weights and pictures from a seed."""
    spec = importlib.util.spec_from_file_location("seeded", GOLDEN / "seeded.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def recording(seeded):
    """`recording(name)`: what lies in tests/golden/NAME.npz."""
    return lambda name: Recording(seeded, GOLDEN / f"{name}.npz")
