from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from deeplab.evaluation import Picture, compare_exported
from deeplab.evaluation.parity import label_map_agreement
from deeplab.runtimes import EngineNetwork
from deeplab.runtimes._exported import Description


@pytest.mark.parametrize(
    ("labels", "share"), [([[0, 1]], 1), ([[0, 2]], 1), ([[2, 0]], 0), ([[0, 0]], 0.5), ([[0, 9]], 0.5)]
)
def test_a_label_map_may_have_either_of_two_equal_classes_but_no_other(labels: list[list[int]], share: float) -> None:
    logits = np.array([[[[3, 0]], [[0, 1]], [[0, 1]]]], np.float32)  # the second pixel is of class 1 or 2
    colors = ((0, 0, 0),) * 3
    description = Description("v3", ("a", "b", "c"), colors, None, False, 1, None, (0, 0, 0))
    network = EngineNetwork(
        lambda _: logits, description, engine="none", run_both=lambda _: (logits, np.array([labels], np.uint8))
    )
    assert label_map_agreement(network, np.zeros((1, 2, 3), np.uint8)) == share


def test_pixels_of_a_mask_are_ignored_where_the_data_set_ignores_them(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([[255, 1]], np.uint16)

    def segment(image: object) -> SimpleNamespace:
        return SimpleNamespace(labels=labels, probabilities=np.zeros((300, 1, 2), np.float32))

    segment.classes = tuple(f"class {number}" for number in range(300))  # type: ignore[attr-defined]
    monkeypatch.setattr("deeplab.evaluation.parity._logits_difference", lambda *others: 0.0)
    picture = Picture(np.zeros((1, 2, 3), np.uint8), np.array([[255, 65535]], np.uint16), ignore_index=65535)
    assert compare_exported(segment, segment, [picture], bound=1.0).miou == (1, 1)  # type: ignore[arg-type]
