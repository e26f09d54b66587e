from __future__ import annotations

import torch

from deeplab.layers import resize


def test_aligned_corners_keep_every_sample_at_its_place():
    x = torch.arange(3.0).reshape(1, 1, 1, 3).expand(1, 1, 3, 3)
    wide = resize(x, (9, 9), align_corners=True)
    torch.testing.assert_close(wide[0, 0, 0], torch.linspace(0, 2, 9))


def test_unaligned_corners_keep_the_outer_edges():
    x = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    # centres of 4 pixels over 2: at -0.25 (clamped to 0), 0.25, 0.75, 1.25 (clamped to 1)
    wide = resize(x, (1, 4), align_corners=False)
    torch.testing.assert_close(wide.flatten(), torch.tensor([0.0, 0.25, 0.75, 1.0]))


def test_one_pixel_fills_any_size():
    assert (resize(torch.full((1, 1, 1, 1), 3.0), (2, 5), align_corners=True) == 3).all()
