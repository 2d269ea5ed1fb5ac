"""Stored features: what the step writes, and that a training on them is one on the images with a still backbone."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny import hashes, round_paths, run_stage, write_tiny_dataset

from longtail.artifacts.reading import read_json
from longtail.data.colours import histogram
from longtail.data.dataset import PackedDataset
from longtail.data.feature_set import FeatureSet
from longtail.data.splits import Split
from longtail.data.transforms import Augmentation, augment, draw, to_float
from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.softmax import Softmax
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import current, read_logits
from longtail.stages.features import Params
from longtail.stages.fit import Params as FitParams
from longtail.training.inputs import Features, open_inputs
from longtail.training.loading import mini_batches

ON = {"dataset": "features"}
SHIFTED = {"views": 3, "augmentation": {"shift": 0.2, "rotate": 20}}
PLAIN = {"iterations": 12, "learning_rate": 0.02, "log_every": 4, "checkpoint_every": 4}


@pytest.fixture
def root(tmp_path: Path, two_tasks: Path) -> Path:
    """The data set, the split and what trainings begin with; no features yet."""
    for name in ("dataset", "split", "start"):
        (tmp_path / name).symlink_to(two_tasks / name)
    return tmp_path


def backbone_of(images: torch.Tensor, root: Path, model: str = "start") -> np.ndarray[Any, Any]:
    network = load_embedder(current(root / model / "model")).network
    assert network is not None
    with torch.inference_mode():
        found: np.ndarray[Any, Any] = network.backbone(images).numpy()
    return found


def pixels(root: Path, positions: Any = slice(None)) -> torch.Tensor:
    rows = Split.open(root / "split").samples["row"].to_numpy()[positions]
    return torch.from_numpy(PackedDataset.open(root / "dataset").images(rows))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("float16", 2e-3)])
def test_they_are_what_the_backbone_makes_of_every_sample(root: Path, precision: Any, tolerance: float) -> None:
    report = run_stage(root, "features", precision=precision)
    split = Split.open(root / "split")
    stored, everything = FeatureSet.open(root / "features", split), np.arange(len(split.samples))
    expected = backbone_of(to_float(pixels(root)), root)
    assert report == {"length": float(expected.shape[1]), "samples": float(len(expected))}
    assert np.allclose(stored.plain(everything), expected, atol=tolerance * np.abs(expected).max())
    assert np.load(root / "features/features.npy", mmap_mode="r").dtype == precision
    # As they are, whatever is drawn: there are no views.
    assert np.array_equal(stored.any_view(everything, np.full(len(everything), 0.99)), stored.plain(everything))


def test_each_view_is_of_an_image_warped_by_what_was_drawn_for_it(root: Path) -> None:
    run_stage(root, "features", precision="float32", seed=5, **SHIFTED)
    split = Split.open(root / "split")
    train, stored = split.positions("train"), FeatureSet.open(root / "features", split)
    how = Augmentation(**SHIFTED["augmentation"])
    for view in range(3):
        seed = int(np.random.SeedSequence([5, view]).generate_state(1)[0])
        drawn = draw(len(train), torch.Generator().manual_seed(seed))
        expected = backbone_of(augment(to_float(pixels(root, train)), how, drawn), root)
        found = stored.any_view(train, np.full(len(train), (view + 1.5) / 4))
        assert np.allclose(found, expected, atol=1e-5 * np.abs(expected).max())
        assert not np.allclose(found, stored.plain(train), atol=1e-3 * np.abs(expected).max())
    assert np.array_equal(stored.any_view(train, np.zeros(len(train))), stored.plain(train))
    # Of what is not trained on there are no views.
    test = split.positions("test")
    assert np.array_equal(stored.any_view(test, np.full(len(test), 0.9)), stored.plain(test))


def first_step(root: Path, views: int, *, plain_first: bool = True) -> tuple[torch.Tensor, Batch, Features]:
    split = Split.open(root / "split")
    inputs = Features(FeatureSet.open(root / "features", split))
    labels = {task.name: split.train_labels(task) for task in split.tasks}
    method = Softmax(Setup(labels, Sampling(batch=24), 0))
    method.views, method.plain_first = views, plain_first
    with closing(mini_batches(inputs, method, seed=0, steps=range(1), device=torch.device("cpu"))) as steps:
        return *next(steps), inputs


@pytest.mark.parametrize("views", [1, 2, 4])
def test_after_a_plain_first_view_come_augmented_ones_alone(root: Path, views: int) -> None:
    run_stage(root, "features", **SHIFTED)
    found, batch, inputs = first_step(root, views)
    plain = torch.from_numpy(inputs.plain(batch.samples))
    assert torch.equal(found[: len(plain)], plain)
    stored = torch.from_numpy(np.load(root / "features/views.npy").astype(np.float32))
    rows = np.searchsorted(Split.open(root / "split").positions("train"), batch.samples)
    which = []
    for view in found.view(views, *plain.shape)[1:]:
        same = (stored[rows] == view[:, None]).all(2)
        assert same.any(1).all()
        which += same.int().argmax(1).tolist()
    assert set(which) == (set(range(3)) if views > 1 else set())
    # Without, the plain one is among those that are drawn, at all places.
    varied = first_step(root, views, plain_first=False)[0].view(views, *plain.shape)
    assert all(0 < int((view == plain).all(1).sum()) < len(plain) for view in varied)


@pytest.mark.parametrize("method", [{"kind": "contrastive", "two_views": True}, {"kind": "balanced_contrastive"}])
@pytest.mark.parametrize("on", ["features", "dataset"])
def test_views_that_are_all_the_same_are_refused(root: Path, method: dict[str, Any], on: str) -> None:
    run_stage(root, "features")
    says = "have none: give those features `views` and" if on == "features" else "nothing is varied: give `optimisation"
    with pytest.raises(DataError, match=f"compares images with augmented views of themselves, and .*{says}") as error:
        run_stage(root, "fit", paths={"dataset": on}, method=method, sampling="natural", cost=0)
    assert (str(root / "features") in str(error.value)) == (on == "features")


def test_they_carry_the_colours_of_the_splits_samples(root: Path) -> None:
    run_stage(root, "features")
    split = Split.open(root / "split")
    assert open_inputs(root / "features", split, Augmentation()).colours is None
    assert not (root / "features/colours.npy").exists()
    (root / "dataset").unlink()
    write_tiny_dataset(root / "dataset", two_tasks=True, colours=4)
    run_stage(root, "features")
    on_images = open_inputs(root / "dataset", split, Augmentation()).colours
    on_features = open_inputs(root / "features", split, Augmentation()).colours
    assert on_images is not None
    assert on_features is not None
    expected = [histogram(image, 4) for image in pixels(root).numpy()]
    for colours in (on_images, on_features):
        assert colours.dtype == np.uint16
        assert np.array_equal(colours, expected)


@pytest.mark.parametrize("shape", [(3, 16), (120, 25), None])
def test_colours_of_other_samples_end_in_one_sentence(root: Path, shape: tuple[int, int] | None) -> None:
    (root / "dataset").unlink()
    write_tiny_dataset(root / "dataset", two_tasks=True, colours=4)
    run_stage(root, "features")
    (root / "features/colours.npy").unlink()
    if shape is not None:
        np.save(root / "features/colours.npy", np.zeros(shape, np.uint16))
    with pytest.raises(DataError, match=r"holds no features: .*colours\.npy.*; make them with") as refusal:
        FeatureSet.open(root / "features", Split.open(root / "split"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("augmentation", [{"hue": 0.05}, {"saturation": 0.1}])
def test_grey_images_have_no_colours_to_vary(root: Path, augmentation: dict[str, float]) -> None:
    with pytest.raises(DataError, match="vary colours, and the images are grey"):
        run_stage(root, "features", views=1, augmentation=augmentation)
    with pytest.raises(DataError, match="vary colours, and the images are grey"):
        run_stage(root, "fit", optimisation={**PLAIN, "augmentation": augmentation})
    assert not (root / "features").exists()
    assert not (root / "softmax/model").exists()


def test_they_are_repeated_bit_by_bit(root: Path) -> None:
    for name in ("one", "other"):
        run_stage(root, "features", paths={"features": name}, **SHIFTED)
    assert hashes(root / "one") == hashes(root / "other")


def test_a_training_on_them_is_one_on_the_images_whose_backbone_stays(root: Path) -> None:
    run_stage(root, "features", precision="float32")
    exact = {**PLAIN, "precision": "float32"}
    run_stage(root, "fit", paths={**ON, "model": "stored/model"}, optimisation=exact)
    run_stage(root, "fit", paths={"model": "still/model"}, optimisation=exact, trained_blocks=0)
    stored, still, start = (
        load_file(current(root / model / "model") / "network.safetensors") for model in ("stored", "still", "start")
    )
    for name, value in still.items():
        assert torch.allclose(stored[name].float(), value.float(), atol=1e-4), name
        if name.startswith("backbone."):
            assert torch.equal(stored[name], start[name]), name
    # The model that it leaves takes images.
    network = load_embedder(current(root / "stored/model"))
    for task, logits in network.logits(pixels(root).numpy()).items():
        kept = read_logits(current(root / "stored/model"), task)
        assert kept is not None
        assert np.allclose(kept, logits, atol=1e-3)


def test_without_an_embedding_the_classifiers_are_linear_in_the_features(root: Path) -> None:
    network = {"backbone": "small_cnn", "embedding": None}
    run_stage(root, "start", paths={"model": "bare/model"}, network=network)
    run_stage(root, "features", paths={"model": "bare/model"}, precision="float32")
    run_stage(root, "fit", paths={**ON, "previous": "bare/model"}, optimisation=PLAIN, network=network)
    found = load_file(current(root / "softmax/model") / "network.safetensors")
    assert not [name for name in found if name.startswith("embeddings.")]
    features = FeatureSet.open(root / "features", Split.open(root / "split")).plain(np.arange(5))
    for number, task in enumerate(("digit", "kids")):
        weight, bias = (found[f"classifiers.{number}.{part}"].numpy() for part in ("weight", "bias"))
        kept = read_logits(current(root / "softmax/model"), task)
        assert kept is not None
        assert np.allclose(kept[:5], features @ weight.T + bias, atol=1e-4)
    with pytest.raises(ValidationError, match="lmle learns an embedding: give"):
        run_stage(root, "train", paths={**ON, "previous": "softmax/model"}, network=network)


def test_a_method_without_a_classifier_needs_an_embedding_or_a_backbone_to_train(root: Path) -> None:
    network = {"backbone": "small_cnn", "embedding": None}
    run_stage(root, "start", paths={"model": "bare/model"}, network=network)
    run_stage(root, "features", paths={"model": "bare/model"}, precision="float32")
    contrastive = {"optimisation": PLAIN, "network": network, "method": {"kind": "contrastive"}}
    for how in (
        {"paths": {**ON, "previous": "bare/model"}},
        {"paths": {"previous": "bare/model"}, "trained_blocks": 0},
    ):
        with pytest.raises(DataError, match="has nothing to train: the backbone stays, and contrastive trains no"):
            run_stage(root, "fit", **contrastive, **how)
    run_stage(root, "fit", paths={"previous": "bare/model"}, **contrastive)


@pytest.mark.parametrize("kind", ["auxiliary_clustering", "silknet"])
def test_there_is_nothing_to_cluster_without_an_embedding(root: Path, kind: str) -> None:
    """Below the classifiers nothing would have a gradient, and the loss would be logged all the same."""
    network = {"backbone": "small_cnn", "embedding": None}
    run_stage(root, "start", paths={"model": "bare/model"}, network=network)
    run_stage(root, "features", paths={"model": "bare/model"}, precision="float32")
    method = {"kind": kind, "colour": 0} | ({"self_similarity": 0} if kind == "silknet" else {})
    how = {"paths": {**ON, "previous": "bare/model"}, "optimisation": PLAIN, "network": network, **NATURAL}
    with pytest.raises(DataError, match="clusters the embedding, and nothing below the classifiers is trained"):
        run_stage(root, "fit", **how, method=method)
    run_stage(root, "fit", **how, method={**method, "clustering": 0})


NATURAL = {"sampling": "natural", "cost": False}
TAUGHT: dict[str, dict[str, Any]] = {
    "softmax": {"method": {"kind": "softmax"}},
    "mixup": {"method": {"kind": "softmax", "mixup": {"alpha": 1}}, **NATURAL},
    "balanced_softmax": {"method": {"kind": "balanced_softmax"}, **NATURAL},
    "class_balanced": {"method": {"kind": "class_balanced", "loss": "focal"}, **NATURAL},
    "ldam": {"method": {"kind": "ldam"}, **NATURAL},
    "focal": {"method": {"kind": "focal"}, **NATURAL},
    "class_rectification": {"method": {"kind": "class_rectification"}, **NATURAL},
}


@pytest.mark.parametrize("name", TAUGHT)
def test_every_method_learns_on_them(root: Path, name: str) -> None:
    run_stage(root, "features", **SHIFTED)
    report = run_stage(root, "fit", paths=ON, optimisation=PLAIN, **TAUGHT[name])
    assert report["validation_score"] > 0


@pytest.mark.parametrize("kind", ["crt", "lws"])
def test_so_does_every_second_stage(root: Path, kind: str) -> None:
    run_stage(root, "features")
    run_stage(root, "fit", paths=ON, optimisation=PLAIN)
    again = {"method": {"kind": kind}, "sampling": "class_even", "cost": False, "optimisation": PLAIN}
    run_stage(root, "fit", paths={**ON, "previous": "softmax/model", "model": f"{kind}/model"}, **again)


@pytest.mark.parametrize("kind", ["lmle", "triplet", "joint", "softmax"])
def test_so_does_every_round(root: Path, kind: str) -> None:
    run_stage(root, "features")
    run_stage(root, "fit", paths=ON, optimisation=PLAIN)
    for stage, paths in round_paths(1).items():
        of_training = {"method": {"kind": kind}, "optimisation": PLAIN} if stage == "train" else {}
        run_stage(root, stage, paths=paths | (ON if stage == "train" else {}), **of_training)
    before, after = (load_file(current(root / model / "model") / "network.safetensors") for model in ("start", "r1"))
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith("backbone."))
    assert not torch.equal(after["embeddings.0.weight"], before["embeddings.0.weight"])


def test_features_of_another_backbone_are_refused(root: Path) -> None:
    run_stage(root, "fit", optimisation=PLAIN)
    run_stage(root, "features", paths={"model": "softmax/model"})
    with pytest.raises(DataError, match="were made by another backbone than the one in"):
        run_stage(root, "fit", paths={**ON, "previous": "start/model", "model": "again/model"}, optimisation=PLAIN)
    run_stage(root, "fit", paths={**ON, "previous": "softmax/model", "model": "again/model"}, optimisation=PLAIN)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"optimisation": {**PLAIN, "augmentation": {"mirror": True}}},
            "fits.softmax is trained on stored features",
        ),
        ({"optimisation": PLAIN, "trained_blocks": 2}, "its backbone stays: leave out trained_blocks"),
    ],
)
def test_what_takes_the_images_is_refused(root: Path, changes: dict[str, Any], said: str) -> None:
    run_stage(root, "features")
    with pytest.raises(DataError, match=said):
        run_stage(root, "fit", paths=ON, **changes)
    with pytest.raises(DataError, match=said):
        FitParams.model_validate({"name": "softmax", **changes}).check_stored()


@pytest.mark.parametrize("changes", [{"views": 2}, {"augmentation": {"mirror": True}}])
def test_views_and_their_augmentation_go_together(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`views` and `augmentation` go together"):
        Params(**changes)


def test_hand_crafted_features_have_no_backbone(root: Path) -> None:
    run_stage(root, "start", paths={"model": "hog/model"}, prior="hog")
    with pytest.raises(DataError, match="has hand-crafted features and no backbone"):
        run_stage(root, "features", paths={"model": "hog/model"})
    assert not (root / "features").exists()


def test_what_float16_cannot_hold_is_said_and_nothing_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail.stages.features.to_float", lambda images: to_float(images) * 1e7)
    with pytest.raises(DataError, match=r"not finite in float16: set `precision: float32`"):
        run_stage(root, "features")
    assert not (root / "features").exists()
    run_stage(root, "features", precision="float32")


def test_the_lineage_names_the_weights_and_their_step(root: Path) -> None:
    run_stage(root, "features", name="frozen")
    found = read_json(root / "features/lineage.json")
    assert {step["stage"] for step in found["steps"].values()} >= {"split", "start", "features"}


@pytest.mark.parametrize("damage", ["info", "array", "shape", "missing", "views"])
def test_damaged_features_end_in_one_sentence(root: Path, damage: str) -> None:
    run_stage(root, "features", **SHIFTED)
    folder = root / "features"
    if damage == "info":
        (folder / "features.json").write_text('{"format_version": 2}')
    elif damage == "missing":
        (folder / "features.npy").unlink()
    elif damage == "views":
        np.save(folder / "views.npy", np.zeros((3, 2, 1), np.float16))
    elif damage == "shape":
        np.save(folder / "features.npy", np.zeros((3, 2), np.float16))
    else:
        content = bytearray((folder / "features.npy").read_bytes())
        content[-1] ^= 1
        (folder / "features.npy").write_bytes(content)
    with pytest.raises(DataError) as refusal:
        run_stage(root, "fit", paths=ON, optimisation=PLAIN)
    assert "\n" not in str(refusal.value)
    assert not (root / "softmax").exists()
