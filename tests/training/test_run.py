import csv
import logging
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from deeplab import api, checkpoints
from deeplab.crf import CRFRNN
from deeplab.data import open_dataset
from deeplab.errors import DataError, OutputError, SettingsError
from deeplab.evaluation import evaluate
from deeplab.images import read_image
from deeplab.inference import Segmenter
from deeplab.models import create_model
from deeplab.training import run, start, train
from deeplab.training.recipes import RECIPES
from deeplab.training.record import Record


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """The folder of a run that was not disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(settings(folder))
    return folder


@pytest.fixture
def stop_at(monkeypatch):
    """`stop_at(step)`: Ctrl-C at the start of that step."""

    def stop(step):
        start = Record.on_train_batch_start

        def interrupt(self, trainer, *rest):
            if trainer.global_step == step:
                raise KeyboardInterrupt
            start(self, trainer, *rest)

        monkeypatch.setattr(Record, "on_train_batch_start", interrupt)

    return stop


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_data_are_read_in_the_format_that_is_given(settings, tmp_path):
    with pytest.raises(DataError, match="no lists of images; wanted JPEGImages"):
        train(settings(tmp_path / "run", format="voc"))


def test_a_run_leaves_models_figures_and_pictures(whole):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        *("best.safetensors", "last.safetensors", "last.ckpt", "previous.ckpt", "config.yaml", "fingerprint.json"),
        "tensorboard",
        *("steps.csv", "validation.csv", "epochs.csv", "curves.png", "samples.png"),
    }


def test_every_step_and_every_validation_has_its_row(whole):
    assert [row["step"] for row in rows(whole / "steps.csv")] == [str(step) for step in range(9)]
    scores = rows(whole / "validation.csv")
    assert [row["epoch"] for row in scores] == ["0", "1", "2"]
    assert {"miou", "pixel_accuracy", "iou dark", "iou middle", "iou bright"} <= set(scores[0])


def test_the_learning_rate_warms_up_and_falls(whole):
    rates = np.array([float(row["learning_rate"]) for row in rows(whole / "steps.csv")])
    assert rates[3] == rates.max() == 5e-4
    assert (np.diff(rates[:4]) > 0).all()
    assert (np.diff(rates[3:]) < 0).all()


def test_the_best_model_evaluates_to_the_score_that_it_was_chosen_for(whole, data):
    checkpoint = checkpoints.load(whole / "best.safetensors")
    report = evaluate(Segmenter(checkpoint, device="cpu"), open_dataset(data), split="val")
    best = max(float(row["miou"]) for row in rows(whole / "validation.csv"))
    assert report.miou == best == checkpoint.training["miou"]


def test_the_saved_model_tells_how_it_was_trained_but_not_where(whole):
    training = checkpoints.load(whole / "last.safetensors").training
    assert (training["epoch"], training["epochs"], training["batch_size"]) == (2, 3, 2)
    assert training["loss"] == "cross_entropy"  # the option, not its value
    assert 0 < training["train_loss"] < 10
    assert not {"output", "device", "workers"} & set(training)
    assert "/" not in training["data"]


def test_samples_show_image_truth_and_prediction(whole):
    height, width, _ = read_image(whole / "samples.png").shape
    assert width == 3 * 240
    assert 2 * 240 < height < 2 * 240 + 100  # two square images, the titles and the legend


def test_a_resumed_run_has_the_losses_of_one_that_was_not_interrupted(whole, settings, tmp_path, stop_at, monkeypatch):
    folder = tmp_path / "run"
    stop_at(5)  # in the middle of the second epoch
    with pytest.raises(KeyboardInterrupt):
        train(settings(folder))
    assert len(rows(folder / "steps.csv")) == 3
    monkeypatch.undo()
    train(settings(folder, resume=True, workers=1))
    assert (folder / "steps.csv").read_text() == (whole / "steps.csv").read_text()
    assert (folder / "validation.csv").read_text() == (whole / "validation.csv").read_text()


def test_a_run_goes_on_with_its_own_data_only(settings, data, tmp_path, stop_at, monkeypatch):
    root = tmp_path / "copy"
    shutil.copytree(data, root)
    stop_at(5)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", data=root))
    monkeypatch.undo()
    for kind in ("images", "masks"):
        first = min((root / "train" / kind).iterdir())
        shutil.copy(first, first.with_stem("zzz"))
    with pytest.raises(DataError, match=r"no longer the data .* \(5 images then, 6 now\); bring them back"):
        train(settings(tmp_path / "run", data=root, resume=True, doctor=False))


def test_after_ctrl_c_the_next_one_works_too(settings, tmp_path, stop_at):
    handler = signal.getsignal(signal.SIGINT)
    stop_at(0)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run"))
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_run_that_was_stopped_in_its_first_epoch_starts_again(whole, settings, tmp_path, stop_at, monkeypatch):
    stop_at(1)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", epochs=1))
    monkeypatch.undo()
    train(settings(tmp_path / "run", epochs=1, resume=True))
    assert len(rows(tmp_path / "run/steps.csv")) == 3


def test_resuming_a_finished_run_changes_nothing_and_says_so(whole, settings, caplog):
    before = {file.name: file.read_bytes() for file in whole.glob("*.*")}
    with caplog.at_level(logging.INFO, "deeplab"):
        assert train(settings(whole, resume=True)) == whole / "best.safetensors"
    assert {file.name: file.read_bytes() for file in whole.glob("*.*")} == before
    assert f"the run in {whole} had ended, after all of its 9 steps; nothing is left to train" in caplog.text
    assert "training on" not in caplog.text


def test_a_folder_with_a_run_is_not_overwritten(whole, settings):
    with pytest.raises(OutputError, match="is not empty; go on with that run by --resume, or choose another"):
        train(settings(whole))


def test_nothing_to_resume_is_said(settings, tmp_path):
    with pytest.raises(SettingsError, match=r"nothing to resume in .*; start the run without --resume"):
        train(settings(tmp_path / "nothing", resume=True))


def test_wrong_data_stop_the_run_before_it_begins(settings, data, tmp_path):
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / "train" / folder).mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(root / "train/images/a.png")
    Image.new("L", (20, 20), 9).save(root / "train/masks/a.png")
    (root / "classes.txt").write_text("a\nb\n")
    with pytest.raises(
        DataError,
        match=r"masks/a\.png \(label 9 at \(row 0, column 0\).*"
        r"--fix would write nothing: no sample of train can be repaired; .*--no-doctor trains nevertheless",
    ):
        train(settings(tmp_path / "run", data=root))
    with pytest.raises(DataError, match=r"masks/a\.png: label 9 at \(row 0, column 0\)"):
        train(settings(tmp_path / "run", data=root, doctor=False))
    assert not (tmp_path / "run").exists()


def test_what_the_doctor_warns_of_is_told_and_trained_on(settings, data, tmp_path, caplog):
    root = tmp_path / "data"
    shutil.copytree(data, root)
    for kind in ("images", "masks"):
        shutil.copyfile(root / "val" / kind / "0.png", root / "train" / kind / "again.png")
    train(settings(tmp_path / "run", data=root, epochs=1))
    (told,) = [message for message in caplog.messages if "in two splits" in message]
    assert "train/images/again.png = " in told
    assert "Keep all copies in one split" in told


@pytest.mark.parametrize(
    ("doctor", "problem"),
    [
        (True, r"train is 255, to be ignored; Pixels to ignore teach nothing\."),
        (False, r"every pixel of the masks in train of .* is 255, to be ignored"),
    ],
)
def test_masks_without_a_label_stop_the_run_before_it_begins(settings, tmp_path, doctor, problem):
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / "train" / folder).mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(root / "train/images/a.png")
    Image.new("L", (20, 20), 255).save(root / "train/masks/a.png")
    (root / "classes.txt").write_text("a\nb\n")
    with pytest.raises((DataError, SettingsError), match=problem):
        train(settings(tmp_path / "run", data=root, doctor=doctor))
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_the_same_classes_is_followed(whole, settings, tmp_path):
    options = {
        "teacher": str(whole / "best.safetensors"),
        "distillation": 1.0,
        "epochs": 1,
        "val_split": "none",
    }
    best = train(settings(tmp_path / "run", **options, weights=str(whole / "best.safetensors")))
    assert best.name == "last.safetensors"
    losses = [float(row["loss"]) for row in rows(tmp_path / "run/steps.csv")]
    assert max(losses) < 0.5  # the student starts as its teacher; a stranger has about log(3)
    assert not (tmp_path / "run/teacher").exists()


def test_a_teacher_of_other_classes_is_refused(whole, settings, data, tmp_path):
    copied = tmp_path / "copy"
    copied.mkdir()
    for split in ("train", "val"):
        (copied / split).symlink_to(data / split, target_is_directory=True)
    (copied / "classes.txt").write_text("a\nb\nc\n")
    with pytest.raises(SettingsError, match="take a teacher of the same classes in the same order"):
        train(settings(tmp_path / "run", data=copied, teacher=str(whole / "best.safetensors")))
    assert not (tmp_path / "run").exists()  # else the right teacher would find it taken


def test_start_weights_of_another_backbone_are_refused(whole, settings, tmp_path):
    with pytest.raises(SettingsError, match="have the backbone mobilenetv2 but --backbone is resnet18"):
        train(settings(tmp_path / "run", backbone="resnet18", weights=str(whole / "best.safetensors")))


def test_a_resumed_run_with_an_auxiliary_head_goes_on_as_if_it_was_not_interrupted(
    settings, tmp_path, stop_at, monkeypatch
):
    options = {"auxiliary": 0.4, "epochs": 2, "val_split": "none"}
    train(settings(tmp_path / "whole", **options))
    stop_at(4)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", **options))
    monkeypatch.undo()
    saved = train(settings(tmp_path / "run", resume=True, **options))
    assert (tmp_path / "run/steps.csv").read_text() == (tmp_path / "whole/steps.csv").read_text()
    with safe_open(saved, framework="pt") as file:
        assert not [name for name in file.keys() if "auxiliary" in name]  # noqa: SIM118 (no mapping)


def test_a_resumed_run_with_a_crf_rnn_goes_on_as_if_it_was_not_interrupted(settings, tmp_path, stop_at, monkeypatch):
    options = {"crf_rnn": True, "epochs": 2, "val_split": "none"}
    saved = train(settings(tmp_path / "whole", **options))
    layer = checkpoints.load(saved).model.crf_rnn
    assert all((now != start).all() for now, start in zip(layer.parameters(), CRFRNN(3).parameters(), strict=True))
    stop_at(4)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", **options))
    monkeypatch.undo()
    train(settings(tmp_path / "run", resume=True, **options))
    assert (tmp_path / "run/steps.csv").read_text() == (tmp_path / "whole/steps.csv").read_text()


def test_a_crf_rnn_is_trained_with_all_that_a_training_has(whole, settings, tmp_path):
    options = {"auxiliary": 0.4, "precision": "bf16", "hard_pixels": 0.5, "half": True, "epochs": 1}
    weights = str(whole / "best.safetensors")
    best = train(settings(tmp_path / "run", crf_rnn=True, weights=weights, **options))
    assert checkpoints.load(best).model.arguments["crf_rnn"]


def test_a_start_from_other_classes_is_told_once_in_plain_words(whole, settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, "deeplab")
    weights = str(whole / "best.safetensors")
    best = train(settings(tmp_path / "run", weights=weights, classes="light=bright|middle, dark", epochs=1))
    checkpoint = checkpoints.load(best)
    assert checkpoint.classes == ("light", "dark")
    assert checkpoint.palette[0].tolist() == checkpoints.load(whole / "best.safetensors").palette[2].tolist()
    told = [message for message in caplog.messages if "classes" in message]
    assert told == [
        "classes: light from bright + middle, dark; ignored: none",
        f"weights {weights}: copied the last layer's rows of 2 of 2 classes: light from bright + middle, dark",
    ]
    assert sum("tensors before the last layer" in message for message in caplog.messages) == 1


def test_a_run_of_merged_classes_is_resumed_and_evaluated_with_them(settings, data, tmp_path):
    options = {"classes": {"dark": "dark", "light": ["middle", "bright"]}, "epochs": 1}
    best = train(settings(tmp_path / "run", **options))
    assert train(settings(tmp_path / "run", resume=True, **options)) == best
    report = api.evaluate(best, data, device="cpu", classes=options["classes"])
    assert report.miou == checkpoints.load(best).training["miou"]
    with pytest.raises(DataError, match="merge, rename and drop some by --classes"):
        api.evaluate(best, data, device="cpu")


def test_frozen_stages_keep_their_weights_and_statistics_to_the_bit(whole, settings, tmp_path):
    start = whole / "best.safetensors"
    options = {"weights": str(start), "freeze": "res3", "layer_decay": 0.8, "epochs": 1, "val_split": "none"}
    trained = checkpoints.load(train(settings(tmp_path / "run", **options))).model
    before = checkpoints.load(start).model
    stages = {id(parameter): stage for stage, found in before.backbone.stages().items() for parameter in found}
    stage_of = {name: stages[id(parameter)] for name, parameter in before.backbone.named_parameters()}
    after, moved = trained.backbone.state_dict(), set()
    for name, tensor in before.backbone.state_dict().items():
        of = stage_of.get(name) or stage_of.get(f"{name.rpartition('.')[0]}.weight")  # of statistics: their norm's
        if not torch.equal(after[name], tensor):
            moved.add(of)
    assert moved == {"res4", "res5"}


@pytest.mark.parametrize(
    "options",
    [
        {"hard_pixels": 0.5, "hard_pixels_epochs": 0.5, "bias_multiplier": 2.0, "layer_decay": 0.9},
        {"loss": "focal + dice + 0.5*lovasz", "loss_divisor": "weights", "class_weights": "sqrt", "auxiliary": 0.4},
        {"batch_size": 1, "crop_size": 17, "ema": 0, "class_weights": "balanced"},
        {"batch_norm": "freeze", "weights": "objects", "optimizer": "sgd", "label_smoothing": 0.1},
        {"precision": "bf16", "half": True, "long_side": 24, "gradient_clip": 0},
    ],
    ids=["hard pixels", "other losses", "batch of one", "frozen", "bf16"],
)
def test_other_options_train_too(settings, tmp_path, options):
    best = train(settings(tmp_path / "run", epochs=1, val_limit=1, **options))
    labels = Segmenter(checkpoints.load(best), device="cpu").labels(np.zeros((30, 40, 3), np.uint8))
    assert labels.shape == (30, 40)


def test_two_batches_with_their_gradients_added_are_one_of_twice_the_size(settings, tmp_path):
    options = {
        **{"batch_norm": "group", "optimizer": "sgd", "epochs": 1, "val_split": "none", "scale": 1, "ema": 0},
        **{"model_options": {"dropout": 0.0}, "learning_rate": 0.01},
    }
    whole, parts = (
        checkpoints.load(train(settings(tmp_path / str(batch), **options, batch_size=batch, accumulate=4 // batch)))
        for batch in (4, 2)
    )
    losses = [[float(row["loss"]) for row in rows(tmp_path / f"{batch}/steps.csv")] for batch in (4, 2)]
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    other = parts.model.state_dict()
    assert all(torch.allclose(value, other[key], atol=1e-5) for key, value in whole.model.state_dict().items())


def test_the_last_epoch_is_validated_whatever_lies_between_two(quick, tmp_path):
    train(quick(tmp_path / "run", epochs=3, validate_every=2))
    assert [row["epoch"] for row in rows(tmp_path / "run/validation.csv")] == ["1", "2"]


def test_a_model_that_knows_one_class_is_told(quick, tmp_path, caplog):
    train(quick(tmp_path / "run", epochs=1, passes=1, learning_rate=1e-9))
    (told,) = (text for text in caplog.messages if "everywhere" in text)
    assert "the best model says '" in told
    assert "after 3 steps it has learnt nothing else" in told


def test_a_run_of_given_steps_ends_there_and_is_resumed_as_it_was(settings, tmp_path, stop_at, monkeypatch):
    options = {"epochs": None, "steps": 5, "passes": 1, "warmup_epochs": None, "rare_crops": 0.5}
    train(settings(tmp_path / "whole", **options))
    whole = rows(tmp_path / "whole/steps.csv")
    assert [row["step"] for row in whole] == ["0", "1", "2", "3", "4"]
    assert [row["epoch"] for row in rows(tmp_path / "whole/validation.csv")] == ["0", "1"]
    stop_at(4)
    with pytest.raises(KeyboardInterrupt):
        train(settings(tmp_path / "run", **options))
    monkeypatch.undo()
    train(settings(tmp_path / "run", resume=True, **options))
    assert rows(tmp_path / "run/steps.csv") == whole
    before = (tmp_path / "run/steps.csv").read_bytes()
    train(settings(tmp_path / "run", resume=True, **options))
    assert (tmp_path / "run/steps.csv").read_bytes() == before


def test_group_norm_takes_the_place_of_batch_norm_in_the_saved_model(settings, tmp_path):
    best = train(settings(tmp_path / "run", batch_norm="group", epochs=1, batch_size=1, val_limit=1))
    model = checkpoints.load(best).model
    kinds = {type(module) for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._NormBase)}
    assert kinds == set()
    assert model.arguments["norm"] == "group"


def test_the_log_says_how_long_it_takes_and_how_long_it_waits(settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, "deeplab")
    train(settings(tmp_path / "run", passes=3, epochs=2, val_split="none", batch_norm="sync"))
    told = "\n".join(caplog.messages)
    assert told.count("on this machine for the 11 steps") == 1  # of 16, as the first 5 tell it
    assert told.count("% of it waiting for images") == 2
    assert told.count("to go") == 1
    (first, _) = rows(tmp_path / "run/epochs.csv")
    assert 0 <= float(first["seconds_waiting_for_images"]) <= float(first["seconds"])


def test_what_a_recipe_does_not_do_is_told_in_a_line(settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, "deeplab")
    options = {"model_options": RECIPES["paddleseg"].options["model_options"]}
    train(settings(tmp_path / "run", recipe="paddleseg", epochs=1, val_split="none", **options))
    (told,) = [message for message in caplog.messages if message.startswith("recipe paddleseg, but for this: ")]
    assert "ResNet-50-vd" in told
    reason = "as paddleseg without multi_grid, stem_channels, which deeplabv3plus on mobilenetv2 cannot take"
    assert f"model_options: {reason}" in caplog.messages
    assert f"# {reason}" in (tmp_path / "run/config.yaml").read_text()


@pytest.mark.parametrize(
    ("kind", "counts", "weights"),
    [
        ("balanced", [80, 20, 0], [0.625, 2.5, 1]),  # the mean over the pixels: 0.8 * 0.625 + 0.2 * 2.5 = 1
        ("sqrt", [80, 20, 0], [5 / 6, 5 / 3, 1]),
        ("balanced", [9999, 1], [0.50005, 10]),  # the limit
    ],
)
def test_classes_are_weighted_by_the_inverse_of_their_share_or_its_root(kind, counts, weights):
    assert run._class_weights(np.array(counts), kind).tolist() == pytest.approx(weights, rel=1e-4)


def test_crops_are_varied_as_the_settings_say(settings, data, tmp_path):
    model = create_model("deeplabv3", backbone="mobilenetv2", num_classes=3, depth_multiplier=0.25)
    chosen = settings(tmp_path, photometric=False, scale_step=0.25)
    augmentation = run._augmentation(chosen, model, open_dataset(data))
    assert (augmentation.photometric, augmentation.scale_step) == (False, 0.25)


def test_the_share_of_aimed_crops_is_that_of_the_settings(quick, tmp_path, monkeypatch):
    shares = []
    aimed = run.RareCrops
    monkeypatch.setattr(run, "RareCrops", lambda counts, share: shares.append(share) or aimed(counts, share))
    train(quick(tmp_path / "run", epochs=1, val_split="none", rare_crops=0.25))
    assert shares == [0.25]


def test_a_gradient_that_is_clipped_to_almost_nothing_changes_almost_nothing(quick, tmp_path):
    options = {"optimizer": "sgd", "weight_decay": 0, "batch_norm": "group", "ema": 0, "val_split": "none"}
    chosen = quick(tmp_path / "run", epochs=1, gradient_clip=1e-12, **options)
    after = checkpoints.load(train(chosen)).model.state_dict()
    before = start.start_model(chosen, open_dataset(chosen.data))[0].state_dict()
    assert all(torch.allclose(after[name], before[name], atol=1e-9) for name in before)


def test_the_saved_model_has_the_size_of_its_images_and_half_of_the_precision_where_asked(quick, tmp_path):
    saved = train(quick(tmp_path / "run", epochs=1, val_split="none", long_side=24, half=True))
    assert checkpoints.load(saved).preprocessing.long_side == 24
    with safe_open(saved, framework="pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 (no mapping)
    assert torch.float16 in kinds
