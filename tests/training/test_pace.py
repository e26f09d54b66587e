import pytest

from deeplab.training.pace import Pace, in_words


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def test_waiting_is_from_the_end_of_a_batch_to_the_next_one(clock):
    pace = Pace(clock)
    pace.begin_epoch()
    for wait, work in ((2.0, 10.0), (1.0, 10.0)):
        clock.now += wait
        pace.batch_is_there()
        clock.now += work
        pace.end_batch()
    assert pace.waited == 3.0
    clock.now += 5.0  # validation
    assert pace.end_epoch() == 28.0
    assert pace.to_go(3) == 84.0


def test_the_first_estimate_comes_once_and_leaves_out_the_first_batch(clock):
    pace, estimates = Pace(clock), []
    for seconds in (60, 1, 2, 1, 2, 1):
        pace.batch_is_there()
        clock.now += seconds
        pace.end_batch()
        estimates.append(pace.first_estimate(1000))
    assert estimates == [None, None, None, None, 1500.0, None]


def test_times_are_told_in_the_unit_that_fits():
    assert [in_words(seconds) for seconds in (40, 1500, 9000)] == ["40 s", "25 min", "2.5 h"]
