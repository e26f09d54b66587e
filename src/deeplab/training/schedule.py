"""How long a run is, and its learning rate: linear warm-up, then "poly" (DeepLab v2, arXiv 1606.00915, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from deeplab.settings import TrainSettings, chosen

__all__ = ["Schedule", "falling_share", "poly", "schedule_of"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The steps of a run, each a change of the weights, and the factor on every learning rate at each."""

    steps: int
    """Of the run; its last epoch may be shorter than the others."""
    steps_per_epoch: int
    warmup_steps: int = 0
    power: float = 0.9
    end: float = 0.0
    """The factor at the end."""
    every: int = 1
    """Steps between two changes of the factor."""

    @property
    def epochs(self) -> int:
        return -(-self.steps // self.steps_per_epoch)

    def factor(self, step: int) -> float:
        """The factor at `step` = 0 .. steps."""
        falling = poly(
            step - step % self.every, total_steps=self.steps, warmup_steps=self.warmup_steps, power=self.power
        )
        return self.end + (1 - self.end) * falling


def schedule_of(settings: TrainSettings, *, steps_per_epoch: int) -> Schedule:
    """The schedule that the settings ask for."""
    return Schedule(
        steps=settings.steps or chosen(settings.epochs) * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        warmup_steps=(
            round(chosen(settings.warmup_epochs) * steps_per_epoch)
            if settings.warmup_steps is None
            else settings.warmup_steps
        ),
        power=settings.power,
        end=settings.end_learning_rate / chosen(settings.learning_rate) if settings.end_learning_rate else 0.0,
        every=settings.rate_every,
    )


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
