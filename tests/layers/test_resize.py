from __future__ import annotations

import torch

from deeplab.layers import rescale, resize


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


def test_a_column_is_more_than_one_pixel():
    x = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1)
    torch.testing.assert_close(resize(x, (3, 2), align_corners=True)[0, 0, :, 1], torch.tensor([0.0, 0.5, 1.0]))


def test_a_factor_with_aligned_corners_keeps_the_corners():
    x = torch.arange(9.0).reshape(1, 1, 1, 9).expand(1, 1, 5, 9)
    half = rescale(x, 0.5, align_corners=True)
    assert half.shape == (1, 1, 3, 5)  # 4 / 2 + 1 and 8 / 2 + 1
    torch.testing.assert_close(half[0, 0, 0], torch.tensor([0.0, 2.0, 4.0, 6.0, 8.0]))


def test_a_factor_with_aligned_corners_rounds_down():
    assert rescale(torch.zeros(1, 1, 8, 9), 0.25, align_corners=True).shape == (1, 1, 2, 3)  # 7 / 4 + 1 and 8 / 4 + 1


def test_a_factor_without_aligned_corners_is_the_step_between_samples():
    x = torch.arange(9.0).reshape(1, 1, 1, 9)
    # centres at 0.5, 2.5, 4.5, 6.5 of nine pixels: the last half pixel is left out
    torch.testing.assert_close(
        rescale(x.expand(1, 1, 2, 9), 0.5, align_corners=False)[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5])
    )


def test_a_factor_never_leaves_nothing():
    for align_corners in (True, False):
        assert rescale(torch.ones(1, 1, 1, 2), 0.25, align_corners=align_corners).shape == (1, 1, 1, 1)


def test_a_factor_never_leaves_nothing_of_the_shorter_side():
    for shape, rest in (((1, 9), (1, 4)), ((9, 1), (4, 1))):
        assert rescale(torch.ones(1, 1, *shape), 0.5, align_corners=False).shape[-2:] == rest
