"""Where LMLE is not LMLE, log and report say so: classes of one cluster, tables without a whole quintuplet, and those
that draw all samples together.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import run_stage

from longtail.artifacts.digests import write_digests

ROUND = ("cluster", "quintuplets", "train", "index", "evaluate")
SAID = "Every class of digit is one cluster"


@pytest.fixture
def root(one_task: Path, tmp_path: Path) -> Path:
    for name in ("dataset", "split", "softmax"):
        shutil.copytree(one_task / name, tmp_path / name)
    return tmp_path


def test_classes_of_one_cluster_are_named_in_log_and_report(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"cluster_size": 200}
    assert run_stage(root, "cluster", **size)["digit_clusters"] == 3
    assert SAID in capsys.readouterr().err
    report = run_stage(root, "quintuplets")
    assert (report["digit_whole"], report["digit_degenerate"], report["digit_ordered"]) == (0, 1, 0)
    assert "no quintuplet of digit is whole" in capsys.readouterr().err
    for stage in ROUND[2:]:
        run_stage(root, stage, **({} if stage == "evaluate" else size))
    assert f"r1: {SAID}" in (root / "report/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("size", "said"), [(200, "no class has two clusters, so LMLE is the triplet loss"), (1, "each lacks p+")]
)
def test_a_table_without_a_whole_quintuplet_says_what_is_missing(
    root: Path, capsys: pytest.CaptureFixture[str], size: int, said: str
) -> None:
    """Of clusters of one sample each anchor is its own p+, but has its p−: that is no triplet loss."""
    run_stage(root, "cluster", cluster_size=size)
    capsys.readouterr()
    report = run_stage(root, "quintuplets")
    assert (report["digit_whole"], report["digit_degenerate"]) == (0, size == 200)
    warned = capsys.readouterr().err
    assert f"no quintuplet of digit is whole: {said}" in warned
    assert ("triplet" in warned) == (size == 200)


def test_the_size_that_is_chosen_keeps_them_apart(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stage in ROUND:
        shares = run_stage(root, stage, **({} if stage in ("quintuplets", "evaluate") else {"cluster_size": None}))
        if stage == "quintuplets":
            assert shares["digit_whole"] > 0.2
    assert "is whole" not in capsys.readouterr().err
    assert SAID not in (root / "report/report.html").read_text(encoding="utf-8")


def test_pools_of_their_own_make_quintuplets_whole(root: Path) -> None:
    run_stage(root, "cluster")
    one, apart = (
        run_stage(root, "quintuplets", paths={"quintuplets": f"q{n}"}, pool_per_class=2, pools=8, pool_per_cluster=n)
        for n in (None, 2)
    )
    assert one["digit_whole"] == 0, "of two candidates of its class p−− is p+ or p−"
    assert apart["digit_whole"] > 0.7
    assert (apart["digit_with_p_plus"], apart["digit_degenerate"]) == (1, 0)


def test_quintuplets_that_draw_all_samples_together_are_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where embeddings tell nothing of classes, the nearest of another is nearer than the farthest of one's own."""
    run_stage(root, "cluster")
    assert run_stage(root, "quintuplets")["digit_class_gap"] > 0
    assert "is nearer than p−−" not in capsys.readouterr().err
    embeddings = root / "softmax/model/current/embeddings-digit.npy"
    np.save(embeddings, np.random.default_rng(0).permutation(np.load(embeddings)))
    write_digests(embeddings.parents[1])
    assert run_stage(root, "quintuplets", paths={"quintuplets": "shuffled"})["digit_class_gap"] < 0
    assert "of digit, n is nearer than p−− in the mean" in capsys.readouterr().err
