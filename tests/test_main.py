"""The command line: its options come from the stage's signature, and bad input is one sentence."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import ARTIFACTS, FEATURES, hashes, write_parameters, write_tiny_dataset

from longtail import __main__
from longtail.artifacts.yaml_file import read_yaml
from longtail.stages import NAMED, STAGES

ROOT = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tiny_dataset(root / "dataset")
    return root / "dataset"


@pytest.fixture
def root(tmp_path: Path, dataset: Path) -> Path:
    shutil.copytree(dataset, tmp_path / "dataset")
    return tmp_path


@pytest.fixture
def longtail(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; return its exit status and what it wrote to stderr."""

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(__main__.app, "registered_commands", [*__main__.app.registered_commands])
        monkeypatch.setattr(sys, "argv", ["longtail", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        printed = capfd.readouterr().err
        if isinstance(ended.value.code, str):  # Python itself prints it and exits with 1
            return 1, printed + ended.value.code
        return int(ended.value.code or 0), printed

    return run


def split(root: Path, *more: str | Path) -> list[str | Path]:
    return ["split", *flags(root, "split"), *more]


def flags(root: Path, stage: str) -> list[str | Path]:
    return [word for name, path in ARTIFACTS[stage].items() for word in (f"--{name}", root / path)]


def assert_one_sentence(error: str) -> None:
    assert error.startswith("error: ")
    assert "Traceback" not in error
    assert error.count("\n") == 0


def test_a_stage_runs_and_writes_its_scalars(root: Path, longtail: Run) -> None:
    metrics = root / "metrics" / "split.json"
    status, errors = longtail(*split(root, "--params", write_parameters(root / "p.yaml"), "--metrics", metrics))
    assert (status, errors) == (0, "")
    scalars = json.loads(metrics.read_text())
    assert scalars["samples_train"] + scalars["samples_validation"] + scalars["samples_test"] == 120
    assert (root / "split" / "samples.parquet").exists()


def test_parameters_come_from_the_sections_and_the_shared_values(root: Path, longtail: Run) -> None:
    (root / "p.yaml").write_text("seed: 7\nsplit: {test: 0.5}\n")
    assert longtail(*split(root, "--params", root / "p.yaml"))[0] == 0
    made_with = json.loads((root / "split" / "lineage.json").read_text())["steps"]
    (made_with,) = [step["params"] for step in made_with.values()]
    assert (made_with["seed"], made_with["test"]) == (7, 0.5)


def test_a_section_wins_over_a_shared_value(root: Path, longtail: Run) -> None:
    (root / "p.yaml").write_text("seed: 7\nsplit: {seed: 8}\n")
    assert longtail(*split(root, "--params", root / "p.yaml"))[0] == 0
    (made_with,) = json.loads((root / "split" / "lineage.json").read_text())["steps"].values()
    assert made_with["params"]["seed"] == 8


def test_a_missing_input_is_one_sentence(root: Path, longtail: Run) -> None:
    shutil.rmtree(root / "dataset")
    status, error = longtail(*split(root, "--params", write_parameters(root / "p.yaml")))
    assert status == 1
    assert_one_sentence(error)
    assert str(root / "dataset") in error
    assert not (root / "split").exists()


@pytest.mark.parametrize(
    ("stage", "parameters", "says"),
    [
        ("split", {"split": {"tset": 0.3}}, "split.tset is not a parameter; did you mean 'test'?"),
        ("split", {"split": {"test": 3}}, "split.test is 3; it should be less than 1"),
        ("split", {"spilt": {}}, "'spilt' is not a parameter; did you mean 'split'?"),
        ("split", {"split": {"imbalance": {"kind": "step", "fcator": 3}}}, "did you mean 'factor'?"),
        ("split", {"split": {"imbalance": {"kind": "steps"}}}, "'steps'"),
        ("split", {"split": [0.3]}, "split must hold parameters by name"),
        ("split", {"split": 3}, "split must hold parameters by name"),
        (
            "train",
            {"train": {"method": {"kind": "lmle", "margns": {}}}},
            "train.method.margns is not a parameter; did you mean 'margins'?",
        ),
        ("train", {"train": {"method": {"kind": "lmel"}}}, "there is no method 'lmel'; did you mean 'lmle'?"),
        ("start", {"network": {"backbon": "resnet18"}}, "network.backbon is not a parameter; did you mean 'backbone'?"),
        ("start", {"start": {"prior": "imagenet"}}, "the prior imagenet needs a backbone of torchvision"),
        ("train", {"train": {"optimisation": {"iterations": 9, "lr": 1}}}, "train.optimisation.lr is not a parameter"),
        (
            "train",
            {"train": {"method": {"kind": "lmle", "margins": {"g1": 1, "g2": 1}}}},
            "train.method.margins.g3 is missing",
        ),
        ("quintuplets", {"quintuplets": {}}, "give one of pool_fraction and pool_per_class"),
        (
            "evaluate",
            {"evaluate": {"models": ["r1"], "resamples": 39}},
            "39 resamples are too few for a 95 % interval: give at least 200, or 0 for none",
        ),
        ("index", {"index": {"search": {"neighbours": [0]}}}, "index.search.neighbours.0"),
        ("ingest", {"ingest": {"image_shape": [8, 8, 1]}}, "ingest.source is missing"),
        ("ingest", {"ingest": {"image_shape": [8, 1_000_001, 1]}}, "ingest.image_shape.1"),
        (
            "ingest",
            {"ingest": {"source": {"kind": "digits"}, "image_shape": [20_000, 20_000, 1]}},
            "image_shape has 400 megapixels, and limits.image_megapixels is 100",
        ),
        (
            "ingest",
            {"ingest": {"source": {"kind": "folder", "path": "a\0b"}, "image_shape": [8, 8, 1]}},
            "ingest.source.path holds the character NUL",
        ),
        ("start", {"network": {"embedding": 10**12}}, "start.network.embedding"),
        ("train", {"train": {"batch": 10**20, "optimisation": {"iterations": 1}}}, "train.batch"),
    ],
)
def test_a_wrong_parameter_is_named(
    root: Path, longtail: Run, stage: str, parameters: dict[str, Any], says: str
) -> None:
    (root / "p.yaml").write_text(yaml.safe_dump(parameters))
    artifacts = flags(root, stage) if stage in ARTIFACTS else ["--data", root, "--dataset", root / "out"]
    status, error = longtail(stage, *artifacts, "--params", root / "p.yaml")
    assert status == 1
    assert_one_sentence(error)
    assert says in error
    assert str(root / "p.yaml") in error


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"split: {test: 0.3", "cannot read "),
        (b"- 1\n- 2\n", "holds no parameters"),
        (b"", "holds no parameters"),
        (b"seed: \xff\xfe", "cannot read "),
    ],
    ids=["torn", "list", "empty", "binary"],
)
def test_a_file_that_holds_no_parameters_is_one_sentence(root: Path, longtail: Run, content: bytes, says: str) -> None:
    (root / "p.yaml").write_bytes(content)
    status, error = longtail(*split(root, "--params", root / "p.yaml"))
    assert status == 1
    assert_one_sentence(error)
    assert says in error


@pytest.mark.parametrize("content", [False, [], 0, "", "none"])
def test_a_section_that_is_no_mapping_is_refused(root: Path, longtail: Run, content: object) -> None:
    (root / "p.yaml").write_text(yaml.safe_dump({"split": content}))
    status, error = longtail(*split(root, "--params", root / "p.yaml"))
    assert status == 1
    assert_one_sentence(error)
    assert "split must hold parameters by name" in error
    (root / "p.yaml").write_text("split:\nseed: 0\n")
    assert longtail(*split(root, "--params", root / "p.yaml"))[0] == 0


def test_a_truth_value_is_no_seed(root: Path, longtail: Run) -> None:
    (root / "p.yaml").write_text("seed: true\n")
    status, error = longtail(*split(root, "--params", root / "p.yaml"))
    assert (status, "true and false are no numbers" in error) == (1, True)


def test_scalars_that_cannot_be_written_are_told_of_before_the_step_begins(root: Path, longtail: Run) -> None:
    (root / "p.yaml").write_text("seed: 0\n")
    (root / "folder").mkdir()
    for place in (root / "folder", root / "p.yaml" / "metrics.json"):
        status, error = longtail(*split(root, "--params", root / "p.yaml", "--metrics", place))
        assert status == 1
        assert_one_sentence(error)
        assert str(root) in error
        assert not (root / "split").exists()


def test_interrupted_while_it_begins_a_command_ends_in_a_sentence(
    longtail: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(__main__, "_command", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    status, error = longtail("fit")
    assert status == 130
    assert error.startswith("error: interrupted; nothing half-written is left")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried\nat"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"),
        MemoryError("Unable to allocate 7.45 GiB for an array"),
        MemoryError(),
    ],
    ids=["cpu", "gpu", "numpy", "bare"],
)
def test_where_memory_does_not_suffice_it_is_one_sentence(
    longtail: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(__main__, "_command", lambda _: (_ for _ in ()).throw(error))
    status, said = longtail("fit")
    assert status == 1
    assert_one_sentence(said)
    assert "there is not memory enough; lower `batch`" in said


def test_any_other_error_of_a_library_keeps_its_traceback(longtail: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__main__, "_command", lambda _: (_ for _ in ()).throw(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        longtail("fit")


def test_a_command_behind_two_dashes_is_that_command(root: Path, longtail: Run) -> None:
    (root / "p.yaml").write_text("seed: 0\n")
    assert longtail("--", *split(root, "--params", root / "p.yaml"))[0] == 0
    assert (root / "split/split.json").is_file()


def test_a_missing_file_of_parameters_is_one_sentence(root: Path, longtail: Run) -> None:
    status, error = longtail(*split(root, "--params", root / "nowhere.yaml"))
    assert status == 1
    assert_one_sentence(error)
    assert str(root / "nowhere.yaml") in error


def test_a_place_that_cannot_be_written_is_one_sentence(root: Path, longtail: Run) -> None:
    (root / "file").write_text("")
    parameters = write_parameters(root / "p.yaml")
    status, error = longtail(
        "split", "--dataset", root / "dataset", "--split", root / "file" / "split", "--params", parameters
    )
    assert status == 1
    assert_one_sentence(error)
    assert str(root / "file") in error


def test_a_missing_or_unknown_option_is_a_usage_error(root: Path, longtail: Run) -> None:
    status, error = longtail("split", "--dataset", root / "dataset")
    assert status == 2
    assert "--split" in error
    status, error = longtail(*split(root, "--sead", "3"))
    assert status == 2
    assert "--sead" in error


def test_parameters_that_evaluate_a_model_of_before_are_refused(root: Path, longtail: Run, tmp_path: Path) -> None:
    """Its artifacts may still lie there, and no stage of the pipeline makes them any more."""
    values = {"rounds": {}, "fits": {"crl": {"after": "start", "on": "dataset"}}, "evaluate": {"models": ["r4"]}}
    (tmp_path / "params.yaml").write_text(json.dumps(values))
    status, error = longtail(*split(root, "--params", tmp_path / "params.yaml"))
    assert status == 1
    assert_one_sentence(error)
    assert "evaluate.models names 'r4'; the models are start, crl" in error


def test_a_training_that_is_not_declared_is_refused(root: Path, longtail: Run) -> None:
    parameters = write_parameters(root / "p.yaml")
    status, error = longtail("fit", "--name", "crl", *flags(root, "fit"), "--params", parameters)
    assert status == 1
    assert_one_sentence(error)
    assert "there is no 'crl' in `fits`; there are softmax" in error


def test_check_reads_every_section_and_every_training(tmp_path: Path, longtail: Run) -> None:
    values = read_yaml(ROOT / "params.yaml")
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    assert longtail("check", "--params", file)[0] == 0
    for section, change, says in (
        ("evaluate", {"models": ["softmax"], "map_pionts": 60}, "evaluate.map_pionts is not a parameter"),
        (
            "fits",
            {**values["fits"], "crl": {"after": "start", "on": "dataset", "method": {"kind": "crl"}}},
            "fits.crl.method",
        ),
        ("train", {"patience": 0}, "train.patience"),
        (
            "fits",
            {**values["fits"], "silk": {"after": "start", "on": "dataset", "method": {"kind": "auxiliary_clustering"}}},
            "fits.silk: auxiliary_clustering compares colours",
        ),
    ):
        file.write_text(yaml.safe_dump(values | {section: change}))
        status, error = longtail("check", "--params", file)
        assert status == 1
        assert_one_sentence(error)
        assert says in error


FOLDER = {"kind": "folder", "path": "photos"}
TORCHVISION = {"kind": "torchvision", "name": "CIFAR10", "path": "new"}


@pytest.mark.parametrize(
    ("data", "source", "says"),
    [
        ("there", FOLDER, None),
        ("there", {**FOLDER, "path": "photos.zip"}, None),
        ("there", {**FOLDER, "path": "photos.zip/train"}, None),
        ("there/photos.zip", {"kind": "folder"}, None),
        ("there", {"kind": "digits"}, None),
        ("there", {**TORCHVISION, "download": True}, None),
        ("there", TORCHVISION, "no such file or directory: {tmp}/there/new"),
        ("there", {**FOLDER, "path": "phtos"}, "no such file or directory: {tmp}/there/phtos"),
        ("there", {"kind": "celeba", "path": "photos/img"}, "no such file or directory: {tmp}/there/photos/img"),
        ("there", {"kind": "table", "path": "x", "table": "t.csv", "labels": [{"column": "y"}]}, "{tmp}/there/x"),
        ("nowhere", FOLDER, "there is nothing at the path that `data` gives: {tmp}/nowhere"),
        ("nowhere", {"kind": "digits"}, "there is nothing at the path that `data` gives"),
        ("dangling", FOLDER, "there is nothing at the path that `data` gives"),
        ("pipe", {"kind": "folder"}, "a pipe, no regular file"),
        ("x" * 5000, FOLDER, "there is nothing at the path that `data` gives"),
        ("s3://bucket/photos", FOLDER, "`data` is an address, and ingest reads files: download s3://bucket/photos"),
        ("https://example.org/" + 9999 * "x", FOLDER, "`data` is an address"),
        (None, FOLDER, "`data` must be the path of a file or directory, and is None"),
        (["there"], FOLDER, "`data` must be the path of a file or directory, and is ['there']"),
        ("", FOLDER, "`data` must be the path of a file or directory, and is ''"),
    ],
)
def test_check_looks_whether_the_data_is_there(
    tmp_path: Path, longtail: Run, data: Any, source: dict[str, Any], says: str | None
) -> None:
    (tmp_path / "there/photos").mkdir(parents=True)
    (tmp_path / "there/photos.zip").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    values = read_yaml(ROOT / "params.yaml")
    local = isinstance(data, str) and data and "://" not in data
    values |= {"data": str(tmp_path / data) if local else data}
    values["ingest"] = {"source": source, "image_shape": [8, 8, 1]}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    status, error = longtail("check", "--params", file)
    assert status == (0 if says is None else 1), error
    if says is not None:
        assert_one_sentence(error)
        assert says.format(tmp=tmp_path) in error
        assert len(error) < 600


def test_check_tells_of_missing_data_beside_what_else_is_wrong(tmp_path: Path, longtail: Run) -> None:
    values = read_yaml(ROOT / "params.yaml")
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values | {"data": str(tmp_path / "nowhere"), "train": {"patience": 0}}))
    error = longtail("check", "--params", file)[1]
    assert "train.patience" in error
    assert "there is nothing at the path that `data` gives" in error


def test_every_stage_has_one_option_an_artifact(longtail: Run, capfd: pytest.CaptureFixture[str]) -> None:
    artifacts = {"ingest": ["data", "dataset"], "fetch": ["dataset"], "features": FEATURES, **ARTIFACTS}
    for stage in STAGES:
        options = __main__._command(stage).__signature__.parameters  # type: ignore[attr-defined]
        assert list(options)[-2:] == ["params", "metrics"]
        assert list(options)[:-2] == [*(["name"] if stage in NAMED else []), *artifacts[stage]]


def test_the_installed_command_ends_without_a_traceback(root: Path) -> None:
    before = hashes(root)
    done = subprocess.run(
        [sys.executable, "-m", "longtail", *split(root, "--params", root / "nowhere.yaml")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LONGTAIL_TRACKING": "off"},
        cwd=root,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert_one_sentence(done.stderr.rstrip("\n"))
    assert hashes(root) == before


def test_the_version_is_told() -> None:
    done = subprocess.run([sys.executable, "-m", "longtail", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"longtail {metadata.version('longtail')}"


@pytest.mark.parametrize(("section", "name"), [("fits", "softmax"), ("rounds", "r2")])
def test_a_training_has_to_say_what_it_is_on_before_dvc_asks(
    longtail: Run, tmp_path: Path, section: str, name: str
) -> None:
    values = read_yaml(ROOT / "params.yaml") | {"data": str(tmp_path)}
    del values[section][name]["on"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    error = longtail("check", "--params", tmp_path / "params.yaml")[1]
    assert f"{section}.{name} does not say what it is trained on: give it `on: dataset`" in error


@pytest.mark.parametrize("method", [None, {}, {"mixup": None}, "left out"])
def test_a_training_has_to_say_its_method_before_dvc_asks(longtail: Run, tmp_path: Path, method: Any) -> None:
    values = read_yaml(ROOT / "params.yaml") | {"data": str(tmp_path)}
    values["fits"]["softmax"]["method"] = method
    if method == "left out":
        del values["fits"]["softmax"]["method"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    status, error = longtail("check", "--params", tmp_path / "params.yaml")
    assert status == 1
    assert "fits.softmax" in error
    assert "method" in error
