"""What all tests share: small seeded pictures, and the data beside the project where it is there."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors are small here: threads wait for each other; before torch loads

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `../shared` with real data, other systems' weights and their outputs."""
    if not SHARED.is_dir():
        pytest.skip("needs the data of ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def golden_module(shared: Path) -> ModuleType:
    """The loader that lies beside the recorded outputs."""
    sys.path.insert(0, str(shared / "golden"))
    try:
        import load_case
    finally:
        sys.path.remove(str(shared / "golden"))
    return load_case


@pytest.fixture(scope="session")
def golden_variables(golden_module: ModuleType) -> Callable[[str], dict[str, NDArray[Any]]]:
    """`golden_variables(case)`: a TensorFlow case's variables by name."""

    def rebuild(case: str) -> dict[str, NDArray[Any]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            variables: dict[str, NDArray[Any]] = golden_module.tf(case)[1]
        return variables

    return rebuild


@pytest.fixture(scope="session")
def make_image() -> Callable[..., NDArray[np.uint8]]:
    """`make_image(height, width, seed=0)`: uint8 (height, width, 3), smooth colours with a little noise."""

    def make(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
        generator = np.random.default_rng(seed)
        rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j][..., np.newaxis]
        smooth = 128 + 100 * np.sin(3 * generator.random(3) * rows + 5 * generator.random(3) * columns)
        return np.clip(smooth + generator.normal(0, 5, (height, width, 3)), 0, 255).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def make_labels() -> Callable[..., NDArray[Any]]:
    """`make_labels(height, width, num_classes=4, seed=0)`: uint8 (height, width), or uint16 above 255."""

    def make(height: int, width: int, num_classes: int = 4, seed: int = 0) -> NDArray[Any]:
        generator = np.random.default_rng(seed)
        centres = generator.random((2 * num_classes, 2)) * (height, width)
        places = np.indices((height, width)).transpose(1, 2, 0)[:, :, np.newaxis]
        nearest = np.argmin(((places - centres) ** 2).sum(axis=-1), axis=-1)
        return (nearest % num_classes).astype(np.uint8 if num_classes <= 255 else np.uint16)

    return make
