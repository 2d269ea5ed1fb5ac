"""A method that brings parameters, views and a head of its own is trained, saved and resumed as any other."""

import json
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scaled
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from scaled import ENTRY, Params
from tiny import DIGIT, hashes, run_stage, write_tiny_dataset
from torch import Tensor
from torchrun import OPTIMISATION as TWO_PROCESSES
from torchrun import run, torchrun

from longtail.artifacts.lineage import Lineage
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.data.transforms import Augmentation, augment, to_float
from longtail.methods import catalogue
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.network.embedder import load_embedder
from longtail.network.network import Network, NetworkParams
from longtail.network.snapshot import State, current, read_blueprint, read_logits
from longtail.training import loop
from longtail.training.checkpoint import FILE
from longtail.training.inputs import Images
from longtail.training.loading import mini_batches, seeds
from longtail.training.loop import length, train
from longtail.training.optimisation import Optimisation
from longtail.world import ALONE, World

CPU = torch.device("cpu")
WARPS = Augmentation(rotate=20, scale=0.1, shift=0.1, mirror=True)
METHOD = {"kind": "scaled", "agreement": 0.25}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    root = tmp_path_factory.mktemp("few")
    write_tiny_dataset(root / "dataset", per_class=10)
    return PackedDataset.open(root / "dataset")


@pytest.fixture
def in_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package has the method: an entry, and a module of that name."""
    monkeypatch.setitem(catalogue.CATALOGUE, "scaled", ENTRY)
    monkeypatch.setitem(sys.modules, "longtail.methods.scaled", scaled)


def setup(dataset: PackedDataset, batch: int = 6) -> Setup:
    return Setup({DIGIT.name: dataset.labels(DIGIT.name)}, Sampling(batch=batch), 0)


@dataclass
class Training:
    """A training of the toy method from the same beginning, whatever was trained before."""

    dataset: PackedDataset
    work: Path
    optimiser: str = "sgd"
    curve: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.network = Network(NetworkParams(embedding=6), [DIGIT], (28, 28, 1), head=Params().head)
        self.method = Params().build(setup(self.dataset))

    def run(self) -> "Training":
        optimisation = Optimisation.model_validate(
            {
                **{"iterations": 12, "learning_rate": 0.05, "optimiser": self.optimiser, "augmentation": WARPS},
                **{"log_every": 2, "checkpoint_every": 4},
            }
        )
        inputs = Images(self.dataset, np.arange(len(self.dataset)), optimisation.augmentation)
        self.curve = train(
            self.network,
            self.method,
            inputs,
            optimisation,
            seed=0,
            work=self.work,
            fingerprint="key",
        )
        return self

    def tensors(self) -> dict[str, Tensor]:
        of_network, of_method = self.network.state_dict(), self.method.state_dict()
        return {**of_network, **{f"method.{name}": value for name, value in of_method.items()}}


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Trainings end with an error once they have a checkpoint of that step."""
    whole = loop.save_checkpoint

    def failing(*args: Any) -> None:
        whole(*args)
        if args[4] >= after:
            raise MemoryError

    monkeypatch.setattr(loop, "save_checkpoint", failing)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_its_parameter_is_trained_and_is_in_the_checkpoint_with_the_optimisers_state(
    tmp_path: Path, dataset: PackedDataset, optimiser: str
) -> None:
    done = Training(dataset, tmp_path, optimiser).run()
    scale = done.method.scale.detach().cpu()
    assert abs(float(scale) - 1) > 1e-3
    assert done.curve[-1]["scale"] == pytest.approx(float(scale), rel=0.1)
    stored = load_file(tmp_path / FILE)
    assert torch.equal(stored["weights.method.scale"], scale)
    assert int(stored["weights.method.steps"]) == 12
    parameters = [*done.network.parameters(), *done.method.parameters()]
    kept = "momentum_buffer" if optimiser == "sgd" else "exp_avg"
    shapes = {name: value.shape for name, value in stored.items() if name.endswith(kept)}
    assert shapes == {f"optimiser.{n}.{kept}": parameter.shape for n, parameter in enumerate(parameters)}


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("after", [4, 8, 12])
def test_an_interrupted_training_resumes_to_the_same_bits(
    tmp_path: Path, dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch, optimiser: str, after: int
) -> None:
    whole = Training(dataset, tmp_path / "whole", optimiser).run()
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        with pytest.raises(MemoryError):
            Training(dataset, tmp_path / "work", optimiser).run()
    with safe_open(tmp_path / "work" / FILE, "pt") as stored:
        assert json.loads(stored.metadata()["about"])["step"] == after
    resumed = Training(dataset, tmp_path / "work", optimiser).run()
    assert resumed.curve == whole.curve
    assert list(resumed.tensors()) == list(whole.tensors())
    for name, value in whole.tensors().items():
        assert torch.equal(resumed.tensors()[name], value), name


@pytest.mark.parametrize("world", [ALONE, World(0, 2), World(1, 2)])
def test_its_images_are_those_of_the_batch_once_for_each_view(dataset: PackedDataset, world: World) -> None:
    method, rows = Params().build(setup(dataset)), np.arange(len(dataset))[::-1]
    plain = mini_batches(Images(dataset, rows, Augmentation()), method, seed=3, steps=range(3), device=CPU, world=world)
    warped = mini_batches(Images(dataset, rows, WARPS), method, seed=3, steps=range(3), device=CPU, world=world)
    for step, (images, batch), (others, same) in zip(range(3), plain, warped, strict=True):
        m = len(batch.samples)
        assert batch.samples.tolist() == same.samples.tolist() == method.batch(step, world).samples.tolist()
        assert images.shape == others.shape == (2 * m, 1, 28, 28)
        raw = to_float(torch.from_numpy(dataset.images(rows[batch.samples])))
        assert torch.equal(images[:m], raw)
        assert torch.equal(images[m:], raw)
        for first, second in zip(others[:m], others[m:], strict=True):
            assert not torch.allclose(first, second, atol=0.1)


def test_each_view_of_an_image_has_the_warp_that_the_step_draws_for_it(dataset: PackedDataset) -> None:
    """By the plain definition: view v of image i is column v·n + i of what is drawn for n images of all processes."""
    method, rows = Params().build(setup(dataset)), np.arange(len(dataset))
    for world in (ALONE, World(0, 2), World(1, 2)):
        batches = mini_batches(Images(dataset, rows, WARPS), method, seed=3, steps=range(2), device=CPU, world=world)
        for step, (images, batch) in enumerate(batches):
            torch.manual_seed(seeds(3, step)[0])
            drawn = torch.rand((5, 2 * batch.whole))
            raw = to_float(torch.from_numpy(dataset.images(rows[batch.samples])))
            for view, of_view in enumerate(images.split(len(batch.samples))):
                columns = [view * batch.whole + int(place) for place in batch.places]
                assert torch.equal(of_view, augment(raw, WARPS, drawn[:, columns]))


def test_an_image_has_the_same_views_in_whichever_process_it_is(dataset: PackedDataset) -> None:
    method, rows = Params().build(setup(dataset)), np.arange(len(dataset))

    def views(world: World) -> dict[int, Tensor]:
        batches = mini_batches(Images(dataset, rows, WARPS), method, seed=1, steps=range(1), device=CPU, world=world)
        with closing(batches):
            images, batch = next(batches)
        pairs = torch.stack(images.split(len(batch.samples)), dim=1)
        return dict(zip(batch.samples.tolist(), pairs, strict=True))

    whole = views(ALONE)
    for rank in range(2):
        part = views(World(rank, 2))
        assert 0 < len(part) < len(whole)
        for sample, pair in part.items():
            assert torch.equal(pair, whole[sample])


@pytest.mark.parametrize(("warps", "alike"), [(Augmentation(rotate=20), True), (WARPS, False)])
def test_the_first_view_is_turned_as_the_only_one_of_another_method_is(
    dataset: PackedDataset, warps: Augmentation, alike: bool
) -> None:
    """The angles are drawn first, image after image; what comes behind them in the draw is another for more images."""
    one, two = Softmax(setup(dataset)), Params().build(setup(dataset))
    rows = np.arange(len(dataset))
    batches = (
        mini_batches(Images(dataset, rows, warps), method, seed=0, steps=range(2), device=CPU) for method in (one, two)
    )
    for (single, batch), (double, same) in zip(*batches, strict=True):
        assert batch.samples.tolist() == same.samples.tolist()
        assert torch.equal(single, double[: len(single)]) == alike


def test_image_passes_count_every_view(dataset: PackedDataset) -> None:
    optimisation = Optimisation(image_passes=240)
    one, two = (length(optimisation, method) for method in (Softmax(setup(dataset)), Params().build(setup(dataset))))
    assert (one, two) == (40, 20)


def test_the_losses_and_gradients_of_two_processes_add_up_to_those_of_one(dataset: PackedDataset) -> None:
    torch.manual_seed(0)
    network = Network(NetworkParams(embedding=6), [DIGIT], (28, 28, 1), head=Params().head).eval().double()
    rows = np.arange(len(dataset))

    def scalars_and_gradients(world: World) -> tuple[dict[str, float], list[Tensor]]:
        method = Params().build(setup(dataset, 12)).double()
        batches = mini_batches(Images(dataset, rows, WARPS), method, seed=0, steps=range(1), device=CPU, world=world)
        with closing(batches):
            images, batch = next(batches)
        network.zero_grad()
        scalars = method.loss(network, images.double(), batch)
        scalars["loss"].backward()  # type: ignore[no-untyped-call]
        trained = [*network.parameters(), *method.parameters()]
        gradients = [p.grad.clone() for p in trained if p.grad is not None]
        assert len(gradients) == len(trained)
        return {name: float(value.detach()) for name, value in scalars.items()}, gradients

    whole, gradients = scalars_and_gradients(ALONE)
    parts = [scalars_and_gradients(World(rank, 2)) for rank in range(2)]
    assert {name: sum(part[name] for part, _ in parts) for name in whole} == pytest.approx(whole, rel=1e-6)
    for one, *others in zip(gradients, *(part for _, part in parts), strict=True):
        assert torch.allclose(one, torch.stack(others).sum(0), rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures("in_catalogue")
def test_it_goes_through_the_stages_with_its_head_and_is_served_with_it(tmp_path: Path, prepared: Path) -> None:
    paths = {"model": f"{tmp_path}/model"}
    report = run_stage(prepared, "fit", paths=paths, method=METHOD)
    assert report["final_scale"] != 1
    snapshot = current(tmp_path / "model")
    assert read_blueprint(snapshot).method == METHOD
    stored = load_file(snapshot / "network.safetensors")
    assert stored["classifiers.0.0.weight"].shape == (5, 8)
    assert "classifiers.0.2.bias" not in stored
    assert not [name for name in stored if "scale" in name], "what is the method's own serves its training alone"
    packed, rows = PackedDataset.open(prepared / "dataset"), Split.open(prepared / "split").samples["row"].to_numpy()
    for task, again in load_embedder(snapshot).logits(packed.images(rows)).items():
        logits = read_logits(snapshot, task)
        assert logits is not None
        assert np.allclose(again, logits, atol=1e-5)
    assert State.read(tmp_path / "model").rule == "head"
    report = run_stage(prepared, "index", paths={"model": f"{tmp_path}/model", "index": f"{tmp_path}/index"})
    assert 0 <= report["digit_validation_head"] <= 1
    training = Lineage.read(tmp_path / "index").training()
    assert training is not None
    assert catalogue.title_of(training.params["method"]) == "Cross-entropy at a learned scale (0.25)"


@pytest.mark.usefixtures("in_catalogue")
def test_an_interrupted_stage_resumes_to_the_same_bytes(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, 8)
        with pytest.raises(MemoryError):
            run_stage(prepared, "fit", paths={"model": f"{tmp_path}/one/model"}, method=METHOD)
    assert (tmp_path / "one/.model.work" / FILE).is_file()
    for name in ("one", "two"):
        run_stage(prepared, "fit", paths={"model": f"{tmp_path}/{name}/model"}, method=METHOD)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


@pytest.mark.slow
@pytest.mark.usefixtures("in_catalogue")
def test_two_processes_train_its_parameter_as_one_with_the_doubled_batch(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    root, one = (shutil.copytree(prepared, tmp_path / name) for name in ("root", "one"))
    changes = {"optimisation": {**TWO_PROCESSES, "learning_rate": 0.01, "iterations": 12}, "method": METHOD}
    run_stage(one, "fit", batch=24, **changes)
    done = run(torchrun(root, "fit", [str(Path(scaled.__file__))], batch=12, **changes), tmp_path)
    assert done.returncode == 0, done.stderr
    alone, both = (State.read(place / "softmax/model").history[0].curve for place in (one, root))
    assert len(alone) == len(both) == 3
    assert abs(alone[-1]["scale"] - 1) > 1e-3
    for expected, found in zip(alone, both, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
