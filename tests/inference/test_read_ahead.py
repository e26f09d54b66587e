import threading

import pytest

from deeplab.inference import read_ahead


def test_results_come_in_order_with_their_items():
    assert [(item, future.result()) for item, future in read_ahead(str, range(50), ahead=3)] == [
        (index, str(index)) for index in range(50)
    ]


def test_an_error_comes_out_of_its_own_item_only():
    results = []
    for item, future in read_ahead(lambda number: 1 / number, [1, 0, 2]):
        if item == 0:
            with pytest.raises(ZeroDivisionError):
                future.result()
        else:
            results.append(future.result())
    assert results == [1, 0.5]


def test_it_reads_only_so_far_ahead():
    begun = []
    stream = read_ahead(begun.append, range(100), ahead=2)
    next(stream)
    assert len(begun) <= 3
    stream.close()
    assert len(begun) <= 3


def test_it_reads_while_the_caller_works():
    started = threading.Event()
    stream = read_ahead(lambda item: started.set() if item == 1 else None, [0, 1], ahead=1)
    next(stream)
    assert started.wait(timeout=10)
    stream.close()


def test_no_items_give_nothing():
    assert list(read_ahead(str, [])) == []
