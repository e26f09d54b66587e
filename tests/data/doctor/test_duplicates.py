from __future__ import annotations

import numpy as np

from deeplab.data.doctor.duplicates import alike, fingerprint


def test_of_frames_that_are_all_alike_the_nearest_of_each_split_are_told() -> None:
    still = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    prints = ["", *[fingerprint(still)] * 50, fingerprint(255 - still)]
    pairs = list(alike(prints, ["train"] * 40 + ["val"] * 12))
    assert pairs == sorted(set(pairs))
    assert {index for pair in pairs for index in pair} == set(range(1, 51))
    for index in range(1, 51):
        assert any(index in pair and pair[0] < 40 <= pair[1] for pair in pairs)
    assert len(pairs) <= 50 * 16
