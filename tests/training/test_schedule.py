import pytest

from deeplab.training.schedule import Schedule, poly


def test_poly_starts_at_one_and_ends_at_zero():
    assert poly(0, total_steps=30_000) == 1
    assert poly(30_000, total_steps=30_000) == 0


def test_half_way_is_the_power_of_a_half():
    assert poly(50, total_steps=100, power=0.9) == pytest.approx(0.5**0.9)


def test_the_warm_up_rises_in_equal_steps_to_the_peak():
    factors = [poly(step, total_steps=100, warmup_steps=4) for step in range(5)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_run_that_is_all_warm_up_never_divides_by_zero():
    assert poly(2, total_steps=3, warmup_steps=3) == pytest.approx(0.75)
    assert poly(3, total_steps=3, warmup_steps=3) == 0


def test_a_schedule_falls_to_its_end_in_strides():
    schedule = Schedule(steps=40, steps_per_epoch=15, power=1.0, end=0.5, every=10)
    assert [schedule.factor(step) for step in (0, 9, 10, 19, 39, 40)] == pytest.approx([1, 1, 0.875, 0.875, 0.625, 0.5])


def test_the_last_epoch_is_as_long_as_what_is_left():
    assert Schedule(steps=40, steps_per_epoch=15).epochs == 3
    assert Schedule(steps=45, steps_per_epoch=15).epochs == 3
