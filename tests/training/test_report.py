"""Pictures of a run."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from deeplab.images import read_image
from deeplab.training.report import draw_samples

PALETTE = np.array([[0, 0, 0], [200, 30, 30], [30, 200, 30]], np.uint8)


def test_samples_name_their_panes_and_the_classes_that_occur(tmp_path, monkeypatch):
    saved = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **named: saved.append(figure) or save(figure, *args, **named)
    )
    image = np.full((40, 60, 3), 90, np.uint8)
    target, labels = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    labels[:20] = 2  # in the prediction only
    samples = [(image, target, labels), (image[:, :30], target[:, :30], labels[:, :30])]
    draw = {"classes": ("_background_", "cat", "dog"), "palette": PALETTE, "ignore_index": 255}
    draw_samples(tmp_path / "samples.png", samples, **draw)
    target[0] = 255
    draw_samples(tmp_path / "ignored.png", samples, **draw)
    assert [axes.get_title() for axes in saved[0].axes] == ["photo", "truth", "prediction", "", "", ""]
    names = [[text.get_text().strip() for text in figure.legends[0].get_texts()] for figure in saved]
    assert names == [["_background_", "dog"], ["_background_", "dog", "does not count"]]
    assert (read_image(tmp_path / "samples.png") == PALETTE[2]).all(axis=-1).sum() > 1000
