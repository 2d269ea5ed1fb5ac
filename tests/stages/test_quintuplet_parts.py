"""The table of a round as one step, and in parts that several pods build: byte for byte the same."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import ARTIFACTS, PARAMETERS, hashes, run_stage

from longtail.artifacts.digests import write_digests
from longtail.errors import DataError
from longtail.network.snapshot import State
from longtail.quintuplets import search
from longtail.quintuplets.candidates import Candidates
from longtail.quintuplets.table import Part, load_tables
from longtail.stages.quintuplets import Params, write_part

HOG = {"prior": "hog"}
ALL_OF_IT = {"pool_fraction": 1.0, "pool_per_class": None}
# What a pod runs: the body of the component, with paths for artifacts.
POD = """
import sys
from types import SimpleNamespace
import components
split, model, clusters = (SimpleNamespace(path=path) for path in sys.argv[1:4])
number, of = map(int, sys.argv[4:])
components.quintuplets_part.python_func(split, model, clusters, {section}, number, of)
"""


@pytest.fixture
def root(tmp_path: Path, two_tasks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What precedes the step, and a volume that pods share."""
    for artifact in ("dataset", "split", "softmax", "r1/clusters"):
        shutil.copytree(two_tasks / artifact, tmp_path / artifact)
    monkeypatch.setenv("LONGTAIL_WORK", str(tmp_path / "volume"))
    (tmp_path / "volume").mkdir()
    return tmp_path


def paths(root: Path) -> list[Path]:
    return [root / ARTIFACTS["quintuplets"][name] for name in ("split", "model", "clusters")]


def params(**changes: object) -> Params:
    return Params.model_validate({**PARAMETERS["quintuplets"], **changes})


def pod(root: Path, section: dict[str, object], number: int, of: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        POD.replace("{section}", repr(section)),
        *map(str, paths(root)),
        str(number),
        str(of),
    ]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("pools", [1, 5])
def test_pods_side_by_side_build_what_one_step_builds(root: Path, two_tasks: Path, pools: int) -> None:
    section = {**PARAMETERS["quintuplets"], "pools": pools}
    alone = run_stage(root, "quintuplets", pools=pools)
    before = hashes(root / "r1/quintuplets")
    pods = [pod(root, section, number, 3) for number in range(3)]
    assert [each.wait() for each in pods] == [0, 0, 0], [each.stderr.read() for each in pods if each.stderr]
    assert len(list((root / "volume").glob("*-parts/*"))) == 3
    assert run_stage(root, "quintuplets", pools=pools) == alone
    assert hashes(root / "r1/quintuplets") == before
    assert list((root / "volume").iterdir()) == []
    if pools == 1:
        assert before == hashes(two_tasks / "r1/quintuplets")


def test_the_step_takes_the_parts_and_does_not_build_again(
    root: Path, two_tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        write_part(*paths(root), params=params(), part=Part(number, 2))
    monkeypatch.setattr("longtail.stages.quintuplets.pooled_tables", None)
    run_stage(root, "quintuplets")
    assert hashes(root / "r1/quintuplets") == hashes(two_tasks / "r1/quintuplets")


def test_a_torn_part_is_no_loss(root: Path, two_tasks: Path) -> None:
    for number in range(2):
        write_part(*paths(root), params=params(), part=Part(number, 2))
    (torn,) = (root / "volume").glob("*-parts/1-of-2/members-kids.npy")
    torn.write_bytes(torn.read_bytes()[:-30])
    run_stage(root, "quintuplets")
    assert hashes(root / "r1/quintuplets") == hashes(two_tasks / "r1/quintuplets")


def test_a_part_that_is_written_twice_is_the_first_one(root: Path) -> None:
    for _ in range(2):
        write_part(*paths(root), params=params(), part=Part(0, 2))
    assert [path.name for path in (root / "volume").glob("*-parts/*")] == ["0-of-2"]


def test_parts_of_other_code_are_left_alone(root: Path, two_tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("longtail.artifacts.fingerprint.code_md5", lambda: "0" * 32)
        write_part(*paths(root), params=params(), part=Part(0, 1))
    (members,) = (root / "volume").glob("*-parts/0-of-1/members-digit.npy")
    np.save(members, np.load(members)[::-1])  # what the other code makes of it
    run_stage(root, "quintuplets")
    assert hashes(root / "r1/quintuplets") == hashes(two_tasks / "r1/quintuplets")
    assert members.is_file()


def test_a_missing_part_is_no_loss(root: Path, two_tasks: Path) -> None:
    """The volume may have been cleared, or the part come from the cache: the step builds everything itself."""
    write_part(*paths(root), params=params(), part=Part(0, 2))
    run_stage(root, "quintuplets")
    assert hashes(root / "r1/quintuplets") == hashes(two_tasks / "r1/quintuplets")


def test_parts_of_other_parameters_are_left_alone(root: Path, two_tasks: Path) -> None:
    write_part(*paths(root), params=params(seed=9), part=Part(0, 1))
    run_stage(root, "quintuplets")
    assert hashes(root / "r1/quintuplets") == hashes(two_tasks / "r1/quintuplets")
    assert len(list((root / "volume").glob("*-parts/0-of-1"))) == 1


def test_a_part_needs_a_volume(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LONGTAIL_WORK")
    with pytest.raises(DataError, match="LONGTAIL_WORK"):
        write_part(*paths(root), params=params(), part=Part(0, 2))


def test_a_stopped_round_has_no_parts(root: Path) -> None:
    state = State.read(root / "softmax/model")
    state.model_copy(update={"stopped": True}).write(root / "softmax/model")
    write_digests(root / "softmax/model")
    write_part(*paths(root), params=params(), part=Part(0, 1))
    assert list((root / "volume").iterdir()) == []
    assert run_stage(root, "quintuplets") == {"stopped": 1.0}


def test_tasks_with_the_same_features_have_the_tables_that_each_would_have_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hand-crafted features are the same for every task: their tables are made from one product."""
    of_start = {"model": "start/model"}
    run_stage(root, "start", **HOG)
    run_stage(root, "cluster", paths=of_start)
    products = []
    made = search.Product.of

    def counted(embeddings: np.ndarray, candidates: list[Candidates]) -> search.Product:
        products.append(len(candidates))
        return made(embeddings, candidates)

    monkeypatch.setattr(search.Product, "of", counted)
    run_stage(root, "quintuplets", paths=of_start, **ALL_OF_IT)
    assert products == [2]
    together = load_tables(root / "r1/quintuplets")
    # Two equal pools are no other candidates, but each task then has a product of its own.
    run_stage(root, "quintuplets", paths=of_start, **ALL_OF_IT, pools=2)
    for task, table in load_tables(root / "r1/quintuplets").items():
        assert (together[task].members == table.members).all()


def test_a_gpu_that_is_asked_for_and_missing_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run_stage(root, "quintuplets", device="auto")["digit_quintuplets"] > 0
    with pytest.raises(DataError, match=r"quintuplets\.device is cuda"):
        run_stage(root, "quintuplets", device="cuda")
