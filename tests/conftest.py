"""What all tests share: small seeded pictures, and the data beside the project where it is there."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tensors are small here: threads wait for each other; before torch loads

import multiprocessing
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
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


@pytest.fixture(scope="module")
def few_layers() -> Iterator[None]:
    """Meanwhile resnet18 has one unit a stage: tracing and compiling take their time by the number of layers."""
    from deeplab.backbones.resnet import BasicUnit, ResNet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deeplab.backbones.resnet.resnet18", partial(ResNet, BasicUnit, (1, 1, 1, 1)))
        yield


@pytest.fixture(scope="session")
def fork() -> Callable[..., BaseProcess]:
    """`fork(function, *arguments)`: a process that has begun to call it, a copy of this one."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs fork, which this system does not have")

    def start(function: Callable[..., object], *arguments: object) -> BaseProcess:
        process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)  # from Python 3.12 on
            process.start()
        return process

    return start


@pytest.fixture(scope="session")
def in_processes(fork: Callable[..., BaseProcess]) -> Callable[..., list[Any]]:
    """`in_processes(function, nodes=1)`: what `function(rank)` returns in each of two processes, by rank.

    They find each other as the processes of torchrun do, on one machine or as if on two. If one of them raises, so does
    this, with its traceback.
    """
    distributed = pytest.importorskip("torch.distributed")
    if not (distributed.is_available() and distributed.is_gloo_available()):
        pytest.skip("needs gloo, which this PyTorch was built without")

    def run(function: Callable[[int], Any], *, nodes: int = 1) -> list[Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started = []
        for rank in range(2):
            here, there = multiprocessing.Pipe(duplex=False)
            local = {"LOCAL_RANK": rank // nodes, "GROUP_RANK": rank % nodes, "LOCAL_WORLD_SIZE": 2 // nodes}
            place = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **local}
            started.append((fork(_send, there, function, rank, place), here))
            there.close()
        answers = [here.recv() for _, here in started]
        for process, _ in started:
            process.join()
        errors = [error for error, _ in answers if error]
        assert not errors, "\n".join(errors)
        return [result for _, result in answers]

    return run


def _send(there: Connection, function: Callable[[int], Any], rank: int, place: dict[str, object]) -> None:
    os.environ.update({name: str(value) for name, value in place.items()}, TORCHELASTIC_RUN_ID="test")
    try:
        answer = (None, function(rank))
    except BaseException:
        answer = (traceback.format_exc(), None)
    there.send(answer)
