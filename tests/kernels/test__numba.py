import importlib
import sys

import pytest

from deeplab.kernels import _numba


@pytest.fixture
def fresh():
    yield lambda: importlib.reload(_numba)
    importlib.reload(_numba)


def test_without_numba_a_function_stays_as_it_is(monkeypatch, fresh):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "numba", None)  # import raises ImportError
        module = fresh()
        assert not module.COMPILES
        assert module.njit(len) is len


def test_without_a_folder_for_compiled_code_it_is_not_kept(monkeypatch):
    numba = pytest.importorskip("numba")
    asked = []

    def njit(**options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert _numba.njit(len) is len
    assert asked == [{"nogil": True, "cache": True}, {"nogil": True}]
