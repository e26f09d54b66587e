"""The learning rate: linear warm-up, then the "poly" policy (DeepLab v2, arXiv 1606.00915, section 4.1)."""

from __future__ import annotations

__all__ = ["poly"]


def poly(step: int, *, total_steps: int, warmup_steps: int = 0, power: float = 0.9) -> float:
    """Factor on the learning rate at `step` = 0 .. total_steps: up over the warm-up, then down to 0."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return (1 - (step - warmup_steps) / max(1, total_steps - warmup_steps)) ** power if step < total_steps else 0.0
