import importlib
import json
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from deeplab.crf import DenseCRF, PairwiseKernel
from deeplab.data import open_dataset
from deeplab.errors import DataError
from deeplab.evaluation import tune_crf
from deeplab.evaluation.tune_crf import CRFReport, Trial
from deeplab.metrics import Interval

MODULE = importlib.import_module("deeplab.evaluation.tune_crf")  # the package has the function under that name
CLASSES = ("dark", "light")
SMALL = {
    "split": "val",
    "limit": 100,
    "weight": (2, 4),
    "sigma_xy": (5,),
    "sigma_rgb": (20,),
    "smoothness": (1, 1),
    "rounds": 2,
}


class Segmenter:
    """Is told what to see by a function of the image: probabilities (2, H, W)."""

    classes = CLASSES

    def __init__(self, sees):
        self.sees = sees

    def __call__(self, image):
        probabilities = self.sees(image).astype(np.float32)
        return SimpleNamespace(labels=probabilities.argmax(axis=0), probabilities=probabilities)

    def remembering(self, folder):
        return self


def is_light(image):
    return image[..., 0] > 127


def as_probabilities(light):
    return np.stack([1 - light, light])


def noisily(image):
    """Right where nothing disturbs, and much disturbs."""
    noise = np.random.default_rng(int(image.sum())).normal(0, 0.3, image.shape[:2])
    return as_probabilities(np.clip(np.where(is_light(image), 0.7, 0.3) + noise, 0.01, 0.99))


def surely(image):
    return as_probabilities(is_light(image).astype(float))


@pytest.fixture(autouse=True)
def two_presets(monkeypatch):
    smoothness = PairwiseKernel(weight=0.1, sigma_xy=1)
    weak = [(PairwiseKernel(weight=weight, sigma_xy=3, sigma_rgb=30), smoothness) for weight in (0.1, 0.2)]
    monkeypatch.setattr(MODULE, "PRESETS", dict(zip(("v1", "v1-msc"), weak, strict=True)))


@pytest.fixture
def make_dataset(tmp_path):
    """`make_dataset(count, truth, classes)`: photos, dark left and light right; their masks as `truth` finds them."""

    def make(count=8, *, truth=is_light, classes=CLASSES):
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 8, (16, 20, 3))
            image = (60 + 120 * (np.arange(20) >= 6 + number)[:, None] + noise).astype(np.uint8)
            for kind, pixels in (("images", image), ("masks", None if truth is None else truth(image))):
                if pixels is not None:
                    path = tmp_path / "data/val" / kind / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels.astype(np.uint8 if pixels.max() <= 255 else np.uint16)).save(path)
        (tmp_path / "data/classes.txt").write_text("\n".join(classes))
        return open_dataset(tmp_path / "data")

    return make


@pytest.fixture
def tune(make_dataset, tmp_path):
    """`tune(sees, count=8, truth=is_light, **options)`: the report of a small search."""

    def run(sees, *, count=8, truth=is_light, **options):
        dataset = make_dataset(count, truth=truth)
        return tune_crf(Segmenter(sees), dataset, folder=tmp_path / "kept", **{**SMALL, **options})

    return run


class Inferences(list):
    """The kernels of each CRF that was computed; Ctrl-C comes at the number `stop_at`."""

    stop_at = None


@pytest.fixture
def inferences(monkeypatch):
    found = Inferences()

    class Counted(DenseCRF):
        def __call__(self, image, probabilities):
            if len(found) == found.stop_at:
                raise KeyboardInterrupt
            found.append(self.kernels)
            return super().__call__(image, probabilities)

    monkeypatch.setattr(MODULE, "DenseCRF", Counted)
    return found


def test_noise_that_does_not_follow_the_image_is_removed(tune):
    report = tune(noisily)
    assert report.without.value < 0.8 < report.sharpened.value
    assert report.gain.value == pytest.approx(report.sharpened.value - report.without.value)
    assert report.helps
    assert report.verdict.startswith("The CRF helps")


def test_what_the_image_does_not_show_is_lost(tune, monkeypatch):
    monkeypatch.setattr(MODULE, "PRESETS", {})  # the weak ones change nothing

    def is_stripe(image):
        return np.broadcast_to(np.arange(20) % 4 == 0, image.shape[:2])

    report = tune(lambda image: as_probabilities(np.where(is_stripe(image), 0.6, 0.1)), truth=is_stripe)
    assert report.without.value == 1
    assert report.gain.high < 0
    assert not report.helps
    assert report.verdict.startswith("The CRF makes it worse")


def test_a_gain_that_may_be_chance_is_no_gain(tune):
    report = tune(surely)
    assert report.gain == Interval(0, 0, 0)
    assert not report.helps
    assert report.verdict.startswith("It is not shown that the CRF helps")


def test_the_choice_and_the_figures_are_of_different_images(tune):
    def right_at_first(image):  # photos 0 to 3 have their border left of column 10
        return surely(image) if is_light(image)[:, 9].all() else surely(255 - image)

    report = tune(right_at_first)
    assert (report.images_of_choice, report.images) == (4, 4)
    assert report.miou_of_choice == 1
    assert report.without.value == 0


def test_trials_are_in_order_and_the_best_is_chosen(tune):
    report = tune(noisily)
    figures = [trial.miou for trial in report.trials]
    assert figures == sorted(figures, reverse=True)
    assert report.best is report.trials[0]
    assert report.crf.kernels == report.best.kernels
    names = [trial.name for trial in report.trials]
    assert {"v1", "v1-msc", "weight 2, xy 5, rgb 20, smooth 1, xy 1"} <= set(names)
    assert len(set(names)) == len(names)


def test_each_round_goes_on_around_the_best_with_half_the_steps(tune, inferences):
    tune(noisily, sigma_xy=(4, 8), rounds=1)
    first = dict.fromkeys(inferences)
    inferences.clear()
    report = tune(noisily, sigma_xy=(4, 8), rounds=3)
    second, third = (dict.fromkeys(inferences[start : start + 16]) for start in (0, 16))
    assert len(first) == 2 + 2 * 2
    assert len(second) == len(third) == 4  # two numbers that have a step, up and down
    for kernels, steps in ((second, (1, 2)), (third, (0.5, 1))):
        weights, sigmas = ({getattr(each[0], name) for each in kernels} for name in ("weight", "sigma_xy"))
        assert max(weights) - min(weights) == 2 * steps[0]
        assert max(sigmas) - min(sigmas) == 2 * steps[1]
    assert len(report.trials) == 6 + 4 + 4


def test_a_finished_search_computes_nothing_again(tune, inferences):
    first = tune(noisily)
    inferences.clear()
    second = tune(noisily)
    assert inferences == []
    assert second.as_dict() == first.as_dict()


def test_an_interrupted_search_goes_on_where_it_stopped(tune, inferences):
    inferences.stop_at = 7  # of the 4 x 4 of the round: amid the second image
    with pytest.raises(KeyboardInterrupt):
        tune(noisily, rounds=1)
    inferences.stop_at = None
    report = tune(noisily, rounds=1)
    assert len(inferences) == 4 * 4 + 4
    assert len(report.trials) == 4


def test_other_probabilities_or_labels_are_computed_anew(tune, inferences):
    tune(noisily, rounds=1)
    inferences.clear()
    tune(surely, rounds=1)
    assert len(inferences) == 4 * 4 + 4


def test_a_limit_takes_images_from_all_over_the_split(tune):
    seen = set()

    def looks(image):
        seen.add(int(np.argmax(is_light(image)[0])) - 6)
        return noisily(image)

    report = tune(looks, limit=4, rounds=1)
    assert seen == {0, 2, 5, 7}
    assert (report.images_of_choice, report.images) == (2, 2)


def test_the_progress_is_shown_round_by_round(tune):
    shown = []

    @contextmanager
    def progress(title, *, total):
        steps = []
        yield lambda: steps.append(1)
        shown.append((title, total, len(steps)))

    tune(noisily, progress=progress)
    titles, totals, steps = zip(*shown, strict=True)
    assert titles == ("Round 1 of 2", "Round 2 of 2", "Measuring the best")
    assert totals == steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 3}, r"3 images in split 'val'; wanted at least 4"),
        ({"truth": None}, r"0\.png: no mask, as for 8 of the 8 images"),
        ({"split": "test"}, "no images in split 'test'"),
    ],
)
def test_data_that_cannot_be_searched_on_is_refused(tune, options, message):
    with pytest.raises(DataError, match=message):
        tune(surely, **options)


def test_other_classes_are_refused(make_dataset, tmp_path):
    with pytest.raises(DataError, match="label 1 is 'bright' here and 'light' in the model"):
        tune_crf(Segmenter(surely), make_dataset(classes=("dark", "bright")), folder=tmp_path, **SMALL)


def test_figures_that_are_not_there_are_null():
    nowhere = Interval(float("nan"), float("nan"), float("nan"))
    trial = Trial("v1", (), float("nan"))
    report = CRFReport((trial,), float("nan"), 2, 2, without=nowhere, sharpened=nowhere, gain=nowhere)
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["gain"]["value"] is None
    assert not report.helps


def test_of_300_classes_255_is_counted_and_65535_is_ignored(make_dataset, tmp_path):
    classes = tuple(f"class {number}" for number in range(300))
    dataset = make_dataset(1, truth=lambda image: np.where(is_light(image), 255, 65535), classes=classes)
    segmenter = Segmenter(lambda image: np.arange(300)[:, None, None] == np.full(image.shape[:2], 255))
    found = MODULE._count(segmenter, dataset, dataset.split("val"), [None], folder=tmp_path, advance=lambda: None)
    assert found[None][0, 255, 255] == found[None].sum() == 16 * 14  # the light pixels
