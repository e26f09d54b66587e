import pytest

from deeplab._machine import cores
from deeplab.kernels._workers import LEAST, Workers


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("rows, at_most", [(0, None), (1, None), (3 * LEAST, None), (1000, 10), (1005, 10), (7, 10)])
def test_the_parts_follow_each_other_and_are_all_rows(count, rows, at_most):
    parts = []
    with Workers(count) as workers:
        workers.each(lambda first, end: parts.append((first, end)), rows, at_most=at_most)
    assert [row for first, end in sorted(parts) for row in range(first, end)] == list(range(rows))
    assert at_most is None or max(end - first for first, end in parts) <= at_most


def test_there_is_a_thread_for_each_core():
    assert Workers().count == cores() >= 1


def test_an_error_in_a_part_is_raised():
    def fail(item):
        raise KeyError(item)

    with Workers(2) as workers, pytest.raises(KeyError):
        workers.map(fail, [1, 2])
