from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from deeplab.errors import CheckpointError
from deeplab.weights._pickled import read_pickle
from deeplab.weights._state import read_state

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def write(path, content, *, numpy_1=False):
    """Protocol 2, as files of that age have it, and NumPy's module under its old name."""
    raw = pickle.dumps(content, protocol=2)
    path.write_bytes(raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray") if numpy_1 else raw)
    return path


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("made_by_a_pickle",)


@pytest.mark.parametrize("numpy_1", [False, True])
def test_arrays_are_read_as_tensors(tmp_path, numpy_1):
    content = {"model": OrderedDict(weight=ARRAY), "__author__": "somebody", "score": np.float64(0.5)}
    path = write(tmp_path / "model.pkl", content, numpy_1=numpy_1)
    assert read_pickle(path)["score"] == 0.5
    assert read_state(path)["weight"].tolist() == ARRAY.tolist()


@pytest.mark.parametrize("harmful", [Harmful(), {"model": {"weight": Harmful()}}, np.array([Harmful()])])
def test_what_a_pickle_names_beside_arrays_is_not_called(tmp_path, monkeypatch, harmful):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.pkl: holds more than tensors or is damaged"):
        read_state(write(tmp_path / "model.pkl", harmful))
    assert not (tmp_path / "made_by_a_pickle").exists()


@pytest.mark.parametrize("numpy_1", [False, True])
@pytest.mark.parametrize("score", [np.float64(0.78), np.float32(0.78), np.int64(7), ARRAY])
def test_a_score_of_numpy_beside_the_weights_is_no_hindrance(tmp_path, score, numpy_1):
    path = tmp_path / "best.pth"
    content = {"model_state": {"weight": torch.ones(2)}, "best_score": score}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    if numpy_1:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_state(path)["weight"].tolist() == [1, 1]
