import math

import pytest
import torch

from deeplab.data.transforms import Augmentation, photometric

FILL = (10.0, 20.0, 30.0)


def augment(image, labels, probabilities=None, *, seed=0, **options):
    options = {"size": (16, 20), "scale": (1.0, 1.0), "photometric": False, "flip": False, **options}
    augmentation = Augmentation(fill=FILL, ignore_index=255, **options)
    return augmentation(image, labels, probabilities, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def labels():
    """(40, 30), each pixel of its own kind: row + 40 * column, modulo 251."""
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(30), indexing="ij")
    return ((rows + 40 * columns) % 251).to(torch.uint8)


@pytest.fixture
def image(labels):
    """The labels as a grey image."""
    return labels.expand(3, -1, -1).contiguous()


@pytest.mark.parametrize("size", [(1, 1), (16, 20), (200, 7)])
@pytest.mark.parametrize("scale", [0.01, 0.5, 1.0, 3.7])
@pytest.mark.parametrize("source", [(1, 1), (1, 50), (40, 30)])
def test_every_crop_has_its_size(size, scale, source):
    image = torch.zeros(*source, 3, dtype=torch.uint8).permute(2, 0, 1)
    sample = augment(image, image[0], torch.ones(2, 3, 3), size=size, scale=(scale, scale), photometric=True)
    assert sample.image.shape == (3, *size)
    assert sample.labels.shape == sample.inside.shape == size
    assert sample.probabilities.shape == (2, math.ceil(size[0] / 4), math.ceil(size[1] / 4))
    assert sample.inside.any()


@pytest.mark.parametrize("seed", range(5))
def test_image_and_labels_stay_together(image, labels, seed):
    sample = augment(image, labels, seed=seed, flip=True)
    assert torch.equal(sample.image[0], sample.labels)
    assert sample.inside.all()


def test_the_crop_moves_over_the_image(image, labels):
    corners = {augment(image, labels, seed=seed).labels[0, 0].item() for seed in range(20)}
    assert len(corners) > 10


def test_the_crop_reaches_the_last_row(image, labels):
    first_rows = {augment(image, labels, seed=seed, size=(39, 30)).labels[0, 0].item() for seed in range(20)}
    assert first_rows == {0, 1}


def test_a_shrunken_image_is_averaged():
    image = torch.zeros(64, 64, 3, dtype=torch.uint8)
    image[:, ::8] = 255
    sample = augment(image.permute(2, 0, 1), image[..., 0], size=(8, 8), scale=(0.125, 0.125))
    assert (sample.image.int() - 255 // 8).abs().max() <= 16  # at the sides the filter sees less


def test_a_small_image_is_padded_with_the_mean_and_the_ignored_label(image, labels):
    sample = augment(image, labels, size=(60, 50), photometric=True)
    assert sample.inside.sum() == 40 * 30
    assert (sample.labels[~sample.inside] == 255).all()
    assert sample.image[:, ~sample.inside].unique(dim=1).flatten().tolist() == list(FILL)
    assert torch.equal(sample.labels[sample.inside], labels.flatten())


def test_scale_two_shows_half_the_image_twice_as_large(image, labels):
    sample = augment(image, labels, size=(80, 60), scale=(2.0, 2.0))
    assert torch.equal(sample.labels, labels.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1))


def test_labels_are_never_mixed(image):
    labels = torch.randint(0, 2, (40, 30), dtype=torch.uint8) * 200
    for seed in range(5):
        assert set(augment(image, labels, seed=seed, scale=(0.3, 3.0)).labels.unique().tolist()) <= {
            0,
            200,
            255,
        }


def test_labels_above_255_survive(image, labels):
    sample = augment(image, labels.int() + 60000, size=(40, 30))
    assert torch.equal(sample.labels, labels.int() + 60000)


def test_half_of_the_samples_are_mirrored(image, labels):
    mirrored = [
        torch.equal(augment(image, labels, seed=seed, size=(40, 30), flip=True).labels, labels.flip(-1))
        for seed in range(200)
    ]
    assert 70 < sum(mirrored) < 130  # 100 +- 4 standard deviations


@pytest.mark.parametrize("seed", range(4))
def test_a_teachers_probabilities_follow_the_image(seed):
    ramp = torch.linspace(0, 1, 120).expand(80, -1)  # grows from left to right
    image = (255 * ramp).round().to(torch.uint8).expand(3, -1, -1).contiguous()
    sample = augment(image, image[0], ramp[None, ::4, 1::4], seed=seed, size=(40, 40), scale=(0.8, 1.2), flip=True)
    # a step of the ramp is 1 / 119 of a pixel and the map has a fourth of them
    torch.testing.assert_close(
        sample.probabilities[0][1:-1, 1:-1],
        (sample.image[0].float() / 255)[2::4, 2::4][1:-1, 1:-1],
        atol=0.03,
        rtol=0,
    )


def test_the_same_seed_gives_the_same_sample(image, labels):
    first, again, other = (
        augment(image, labels, seed=seed, scale=(0.5, 2.0), photometric=True, flip=True) for seed in (1, 1, 2)
    )
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)


def test_a_grey_image_stays_grey_under_other_colours():
    grey = torch.randint(0, 256, (1, 8, 8), dtype=torch.uint8).expand(3, -1, -1).contiguous()
    varied = photometric(grey, generator=torch.Generator().manual_seed(0)).int()
    assert (varied - varied[:1]).abs().max() <= 1  # rounding


def test_colours_vary_around_themselves():
    image = torch.tensor([120, 60, 180], dtype=torch.uint8).view(3, 1, 1).expand(-1, 4, 4).contiguous()
    generator = torch.Generator().manual_seed(0)
    mean = torch.stack([photometric(image, generator=generator).float() for _ in range(500)]).mean(dim=0)
    torch.testing.assert_close(mean[:, 0, 0], torch.tensor([120.0, 60.0, 180.0]), atol=6, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_contrast_leaves_an_image_of_one_grey_as_bright_as_it_is(seed):
    image = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    drawn = torch.rand((), generator=torch.Generator().manual_seed(seed)).item()  # the first number is for brightness
    varied = photometric(image, generator=torch.Generator().manual_seed(seed), strength=0.3)
    assert (varied.float() - 100 * (1 + 0.3 * (2 * drawn - 1))).abs().max() <= 0.51  # rounding


@pytest.mark.parametrize(
    ("scale", "step", "wanted"), [((0.5, 2.0), 0.5, {0.5, 1.0, 1.5, 2.0}), ((0.5, 1.9), 0.5, {0.5, 1.0, 1.5})]
)
def test_scales_come_in_steps_up_to_the_greatest(scale, step, wanted):
    image = torch.arange(200 * 200 * 3, dtype=torch.int32).remainder(256).to(torch.uint8).view(200, 200, 3)
    labels = torch.arange(200).repeat(200, 1)  # the column
    augmentation = Augmentation((16, 16), scale, (0.0,) * 3, 255, photometric=False, flip=False, scale_step=step)
    shown = set()
    for seed in range(60):
        crop = augmentation(image.permute(2, 0, 1), labels, generator=torch.Generator().manual_seed(seed)).labels
        shown.add(round(float(16 / (crop[0, -1] - crop[0, 0] + 16 / 15 / 2) * 2)) / 2)
    assert shown == wanted


def test_the_greatest_scale_is_drawn_though_its_steps_are_not_exact(labels):
    labels = torch.arange(200).repeat(200, 1)
    image = torch.zeros(200, 200, 3, dtype=torch.uint8).permute(2, 0, 1)
    options = {"size": (16, 16), "scale": (0.4, 1.0), "scale_step": 0.2}  # (1.0 - 0.4) / 0.2 is a little less than 3
    crops = [augment(image, labels, seed=seed, **options).labels for seed in range(20)]
    assert min(crop[0, -1] - crop[0, 0] for crop in crops) == 15


@pytest.mark.parametrize(("centre", "first"), [((30, 40), (26, 36)), ((0, 2), (0, 0)), ((59, 79), (52, 72))])
def test_a_centre_is_the_middle_of_the_crop_inside_the_image(centre, first):
    labels = torch.arange(60 * 80).view(60, 80)
    augmentation = Augmentation((8, 8), (1.0, 1.0), (0.0,) * 3, 255, photometric=False, flip=False)
    image = torch.zeros(60, 80, 3, dtype=torch.uint8).permute(2, 0, 1)
    crop = augmentation(image, labels, centre=centre, generator=torch.Generator()).labels
    assert (crop[0, 0] // 80, crop[0, 0] % 80) == first
