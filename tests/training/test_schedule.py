import pytest

from deeplab.training.schedule import Schedule, falling_share, poly


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


def test_the_share_of_hard_pixels_falls_in_a_line_and_stays():
    """`hard_example_mining_step` 1000, `top_k_percent_pixels` 0.25 of the official code."""
    shares = [falling_share(step, share=0.25, steps=1000) for step in (0, 400, 1000, 5000)]
    assert shares == pytest.approx([1, 0.4 * 0.25 + 0.6, 0.25, 0.25])


def test_without_steps_to_fall_the_share_is_the_last_one_at_once():
    assert falling_share(0, share=0.25, steps=0) == 0.25
