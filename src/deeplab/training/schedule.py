"""What changes from step to step: the learning rate and the share of hard pixels."""

from __future__ import annotations

__all__ = ["falling_share", "poly"]


def poly(step: int, *, total_steps: int, warmup_steps: int = 0, power: float = 0.9) -> float:
    """Factor on the learning rate at `step` = 0 .. total_steps: up over the warm-up, then down to 0.

    Linear warm-up, then the "poly" policy (DeepLab v2, arXiv 1606.00915, section 4.1).
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return (1 - (step - warmup_steps) / max(1, total_steps - warmup_steps)) ** power if step < total_steps else 0.0


def falling_share(step: int, *, share: float, steps: int) -> float:
    """The share of hard pixels at `step`: from 1 down to `share` in `steps`, in a line (`hard_example_mining_step`)."""
    return share if step >= steps else 1 - (1 - share) * step / steps
