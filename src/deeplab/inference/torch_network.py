"""A PyTorch model as what segmenting asks of a network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeplab.errors import CheckpointError, SettingsError
from deeplab.layers import folded
from deeplab.models import SegmentationModel

__all__ = ["TorchNetwork", "pick_device"]

MOST_SIZES = 256
"""Of images that torch.compile makes programs for, in all networks of a process; what comes then is not compiled."""


class TorchNetwork:
    """Runs a model on a device, without its BatchNorms."""

    fixed_size = None

    def __init__(
        self,
        model: SegmentationModel,
        *,
        device: torch.device,
        precision: str = "float32",
        compiled: bool = False,
        fold: bool = True,
    ) -> None:
        """
        Args:
            model: It is moved to the device and put into evaluation mode; later changes of its weights do not count.
            precision: Of its products, "float32", "bfloat16" or "float16"; the logits are float32.
            compiled: Whether torch.compile makes a program of it, anew for each size of image that comes; on a GPU
                one without the launches of its parts (CUDA graphs). A CRF-RNN stays out of it.
            fold: False runs the model itself, as it is at the time.

        Raises:
            CheckpointError: The model is not for RGB images.
            SettingsError: float16 on a CPU.
        """
        if precision == "float16" and device.type == "cpu":
            raise SettingsError("precision float16 is for GPUs; a CPU computes in float32 or bfloat16")
        channels = model.arguments.get("in_channels", 3)
        if channels != 3:
            raise CheckpointError(f"the model takes images of {channels} channels; segmenting needs one for RGB")
        self.model = model.eval().to(device)
        self.device = device
        self.align_corners = model.align_corners
        self.running = folded(self.model) if fold else self.model
        self.precision: torch.dtype = getattr(torch, precision)
        self.how: dict[str, Any] = {"device": device, "precision": precision, "compiled": compiled, "fold": fold}
        self._coarse_logits: Callable[[Tensor], Tensor] = self.running.coarse_logits
        if compiled:
            options: dict[str, Any] = (
                {"mode": "reduce-overhead"} if device.type == "cuda" else {"options": {"freezing": True}}
            )
            dynamo = torch._dynamo.config
            dynamo.recompile_limit = max(dynamo.recompile_limit, MOST_SIZES)
            unrefined = torch.compile(self.running.unrefined, dynamic=False, **options)
            self._coarse_logits = lambda batch: self.running.refined(unrefined(batch), batch)

    def of(self, model: SegmentationModel) -> TorchNetwork:
        """Another model, which runs in the same way. Raises as the constructor."""
        return TorchNetwork(model, **self.how)

    def unfolded(self) -> TorchNetwork:
        """The model itself, as it is at the time it runs, on the same device and in the same precision."""
        return TorchNetwork(self.model, **{**self.how, "compiled": False, "fold": False})

    @property
    def name(self) -> str:
        return self.model.entry

    def coarse_logits(self, images: NDArray[np.uint8], /) -> NDArray[np.float32]:
        """As in `Network`."""
        logits: NDArray[np.float32] = self.logits_there(images).cpu().numpy()
        return logits

    @torch.no_grad()  # inference_mode is not for torch.compile
    def logits_there(self, images: NDArray[np.uint8], /) -> Tensor:
        """As in `OfPyTorch`."""
        batch = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float() / 255  # channels-last in memory
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            coarse = self._coarse_logits(batch)
        return coarse.to(torch.float32, copy=True)  # a CUDA graph writes the next ones into the same memory

    def grid_size(self, size: tuple[int, int], /) -> tuple[int, int]:
        """As in `Network`."""
        return self.model.grid_size(size)

    def fingerprint(self) -> bytes:
        """As in `Network`."""
        found = hashlib.sha256(repr((self.model.entry, self.model.arguments, self.precision)).encode())
        for name, tensor in self.model.state_dict().items():
            found.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return found.digest()


def pick_device(name: str) -> torch.device:
    """The device of this name; "auto" is the first there is of cuda, mps and cpu.

    Raises:
        SettingsError: This machine has no such device.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, available in there.items() if available))
    kind, _, number = name.partition(":")
    if not there.get(kind) or (number and kind == "cuda" and int(number) >= torch.cuda.device_count()):
        usable = ", ".join(kind for kind, available in there.items() if available)
        raise SettingsError(f"device '{name}' does not work with the PyTorch on this machine; use {usable} or auto")
    return torch.device(name)
