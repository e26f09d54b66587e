"""The loss of coarse logits beside that of their enlargement, forward and backward: time and peak memory.

    python benchmarks/loss.py
    python benchmarks/loss.py --device cuda --rounds 20
    python benchmarks/loss.py --losses "hard pixels" focal dice --strides 16

`full size` is torch's interpolate and cross_entropy, or the same loss of ours over the enlarged logits. Times are
medians of both in turns; the ratio is the median of the ratios of neighbours in time, so that what else the machine
does touches both alike. CPU seconds count all threads. The memory is what the loss takes beyond logits and labels at
its peak; on a CPU it is measured in a process of its own, on Linux. Each line is a row:
loss, stride, then of the clock, of CPU seconds and of MiB: full size, coarse, ratio.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from deeplab.losses import Upsampled, cross_entropy, dice, focal, full_size

Loss = Callable[[Upsampled, Tensor], Tensor]


def by_torch(logits: Upsampled, labels: Tensor) -> Tensor:
    """As everybody writes it."""
    enlarged = functional.interpolate(logits.coarse, size=logits.size, mode="bilinear", align_corners=True)
    return functional.cross_entropy(enlarged, labels.long(), ignore_index=255)


def of_all_pixels(loss: Callable[[Tensor, Tensor], Tensor], logits: Upsampled, labels: Tensor) -> Tensor:
    return loss(full_size(logits), labels)


HARD = partial(cross_entropy, hard_pixels=0.25)
LOSSES: dict[str, tuple[Loss, Loss]] = {
    "cross entropy": (by_torch, cross_entropy),
    "hard pixels": (partial(of_all_pixels, HARD), HARD),
    "focal": (partial(of_all_pixels, focal), focal),
    "dice": (partial(of_all_pixels, dice), dice),
}
"""Each at full size and of coarse logits."""


def make(batch_size: int, num_classes: int, size: int, stride: int, device: str) -> tuple[Upsampled, Tensor]:
    """Random coarse logits of square images, and labels of which a tenth is to be ignored."""
    generator = torch.Generator().manual_seed(0)
    side = (size - 1) // stride + 1
    coarse = 3 * torch.randn(batch_size, num_classes, side, side, generator=generator)
    labels = torch.randint(0, num_classes, (batch_size, size, size), generator=generator, dtype=torch.uint8)
    labels[:, : size // 10] = 255
    grid = (side - 1) * stride + 1
    logits = Upsampled(coarse.to(device).requires_grad_(), (size, size), (grid, grid), align_corners=True)
    return logits, labels.to(device)


def seconds(loss: Loss, logits: Upsampled, labels: Tensor) -> tuple[float, float]:
    """Of one loss and its gradient, on the clock and of all threads of this process."""
    logits.coarse.grad = None
    wait(logits.coarse)
    start, start_of_threads = time.perf_counter(), time.process_time()
    torch.autograd.backward(loss(logits, labels))
    wait(logits.coarse)
    return time.perf_counter() - start, time.process_time() - start_of_threads


def wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize()


def peak_bytes(loss: Loss, logits: Upsampled, labels: Tensor) -> int:
    """What it takes at its peak beyond what is there."""
    if logits.coarse.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        torch.autograd.backward(loss(logits, labels))
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held now
    before = held_at_most()
    torch.autograd.backward(loss(logits, labels))
    return held_at_most() - before


def held_at_most() -> int:
    """The most bytes that this process has held since it was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def in_its_own_process(arguments: argparse.Namespace, loss: str, stride: int, which: int) -> int:
    """`peak_bytes` where nothing that was freed is still held."""
    sizes = ["--batch-size", arguments.batch_size, "--classes", arguments.classes, "--size", arguments.size]
    asked = [*sizes, "--device", arguments.device, "--losses", loss, "--strides", stride, "--peak", which]
    command = [sys.executable, __file__, *map(str, asked)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--size", type=int, default=513, help="side of the images in pixels, k x stride + 1")
    parser.add_argument("--strides", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=["cross entropy"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", type=int, choices=[0, 1], help="only print the bytes of the first or second form")
    arguments = parser.parse_args()
    for name in arguments.losses:
        for stride in arguments.strides:
            logits, labels = make(
                arguments.batch_size, arguments.classes, arguments.size, stride, device=arguments.device
            )
            if arguments.peak is not None:
                print(peak_bytes(LOSSES[name][arguments.peak], logits, labels))
                continue
            clock, threads = [], []
            for _ in range(arguments.rounds):
                full, coarse = (seconds(loss, logits, labels) for loss in LOSSES[name])
                clock.append((full[0], coarse[0]))
                threads.append((full[1], coarse[1]))
            del logits, labels
            peaks = [in_its_own_process(arguments, name, stride, which) / 2**20 for which in (0, 1)]
            cells = [name, stride]
            for times in (clock, threads):
                cells += [f"{statistics.median(column):.2f}" for column in zip(*times, strict=True)]
                cells += [f"{statistics.median(full / coarse for full, coarse in times):.1f}"]
            cells += [f"{peaks[0]:,.0f}", f"{peaks[1]:,.0f}", f"{peaks[0] / peaks[1]:.0f}"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
