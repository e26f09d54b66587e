"""CRF-RNN: Zheng et al., Conditional Random Fields as Recurrent Neural Networks, ICCV 2015 (arXiv:1502.03240).

The mean-field inference of `dense_crf` as a layer at the end of a network (section 4), which learns its weights by the
network's own loss; the standard deviations of its kernels stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deeplab.crf.mean_field import mean_field
from deeplab.crf.pairwise import PairwiseKernel, check_memory, check_whole, gains, kernels_named
from deeplab.errors import ImageError
from deeplab.kernels._workers import Workers

__all__ = ["CRFRNN"]


class CRFRNN(nn.Module):
    """Logits, refined along the edges of the image.

    Before it has learned anything it is `DenseCRF` with the same kernels, and its softmax the marginals. It works in
    float32, or in float64 where the logits are, and has gradients for the logits and its parameters, not for the image.

    Shape: image (N, bands, H, W) in 0 .. 255, logits (N, num_classes, H, W) -> logits (N, num_classes, H, W)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        kernels: str | Sequence[PairwiseKernel] = "crf-rnn",
        training_iterations: int = 5,
        iterations: int = 10,
    ) -> None:
        """
        Args:
            kernels: The pairwise kernels, or a name of `PRESETS`: standard deviations, and weights to start from.
            training_iterations: Of the mean field in training; the paper's.
            iterations: In evaluation; the paper's.

        Raises:
            UnknownNameError: No preset of that name.
            SettingsError: A number below 1, or a kernel of other classes.
        """
        super().__init__()
        num_classes = check_whole("num_classes", num_classes, least=1)
        self.kernels = kernels_named(kernels)
        self.training_iterations = check_whole("training_iterations", training_iterations, least=1)
        self.iterations = check_whole("iterations", iterations, least=1)
        self.kernel_weights = nn.Parameter(torch.stack([gains(kernel, num_classes) for kernel in self.kernels]))
        """(kernels, num_classes, num_classes): what a class (row) hears of another one (column) through each kernel."""
        self.compatibility = nn.Parameter(torch.eye(num_classes))
        """(num_classes, num_classes): what a class (row) gains by what another one (column) hears. The paper's has the
        other sign; this is that of the authors' code."""

    def extra_repr(self) -> str:
        sizes = f"num_classes={len(self.compatibility)}, kernels={len(self.kernels)}"
        return f"{sizes}, training_iterations={self.training_iterations}, iterations={self.iterations}"

    def forward(self, image: Tensor, logits: Tensor) -> Tensor:
        """The refined logits.

        Raises:
            ImageError: Sizes that disagree, values that are not finite or too far from 0 for a kernel, or too little
                memory.
            SettingsError: Standard deviations of another number of bands.
        """
        self._check(image, logits)
        precision = torch.promote_types(logits.dtype, torch.float32)
        image, logits = image.detach().to(precision).movedim(1, -1), logits.to(precision)  # (N, H, W, bands)
        workers = Workers(torch.get_num_threads())
        with torch.autocast(logits.device.type, enabled=False):
            matrices = (self.compatibility @ self.kernel_weights).to(precision)
            refined = [
                mean_field(
                    *pair,
                    kernels=self.kernels,
                    matrices=matrices,
                    iterations=self.training_iterations if self.training else self.iterations,
                    workers=workers,
                )
                for pair in zip(image, logits, strict=True)
            ]
        return torch.stack(refined)

    @torch.no_grad()
    def _check(self, image: Tensor, logits: Tensor) -> None:
        num_classes = len(self.compatibility)
        if logits.ndim != 4 or logits.shape[1] != num_classes or 0 in logits.shape:
            raise ImageError(
                f"logits want shape (N, {num_classes}, height, width), with at least one of each, "
                f"got {tuple(logits.shape)}"
            )
        if image.ndim != 4 or (len(image), *image.shape[2:]) != (len(logits), *logits.shape[2:]):
            raise ImageError(
                f"image of shape {tuple(image.shape)} does not fit logits of shape {tuple(logits.shape)}; "
                "both want the same number of images, height and width"
            )
        for name, values in (("image", image), ("logits", logits)):
            if not torch.isfinite(values).all():
                raise ImageError(f"{name} wants finite numbers; some are not (NaN or infinite)")
        if logits.device.type == "cpu":
            check_memory(self.kernels, tuple(logits.shape[1:]))
