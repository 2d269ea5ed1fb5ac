"""`longtail edges evaluate` on made-up folders: what it writes, in how many processes, and after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from edge_files import LARGE, SHAPE, edge_map, outlines, write_annotations, write_benchmark, write_map
from typer.testing import CliRunner

from longtail.__main__ import app
from longtail.errors import DataError
from longtail.problems.edges.annotations import read_boundaries
from longtail.problems.edges.edge_maps import read_edge_map
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.evaluation import evaluate
from longtail.problems.edges.evaluation.settings import Settings, Suppression

FILES = ["images.csv", "precision_recall.svg", "report.html", "results.json", "thresholds.csv"]


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(app, ["edges", "evaluate", *map(str, words)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_it_writes_figures_tables_and_the_curve(tmp_path: Path) -> None:
    maps, truth = write_benchmark(tmp_path, 3)
    text = run(maps, truth, "-o", tmp_path / "out", "--thresholds", 9, "--processes", 1)
    assert "3 images, 9 thresholds, NMS none" in text
    assert sorted(contents(tmp_path / "out")) == FILES
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert (found["nms"], found["thresholds"], found["images"], found["max_distance"]) == ("none", 9, 3, 0.0075)
    assert f"{found['ods']['f']:.4f}" in text
    assert 0 < found["ap"] < found["ods"]["f"] <= found["ois"]["f"] + 0.01 < 1
    by_threshold = pd.read_csv(tmp_path / "out/thresholds.csv")
    assert by_threshold["threshold"].tolist() == pytest.approx(np.arange(1, 10) / 10)
    assert by_threshold["f"].max() == pytest.approx(found["ods"]["f"], abs=0.01)
    assert pd.read_csv(tmp_path / "out/images.csv")["image"].tolist() == ["image-0", "image-1", "image-2"]
    assert "annotators among each other" in (tmp_path / "out/precision_recall.svg").read_text()
    assert not [*tmp_path.glob(".*")]


def test_json_is_the_file_and_nms_is_named(tmp_path: Path) -> None:
    maps, truth = write_benchmark(tmp_path, 1)
    words = ["--thresholds", 3, "--nms", "structured_edges", "--json", "--processes", 1]
    printed = json.loads(run(maps, truth, "-o", tmp_path / "out", *words))
    assert printed == json.loads((tmp_path / "out/results.json").read_text())
    assert printed["nms"] == "structured_edges"
    assert "NMS structured_edges" in (tmp_path / "out/precision_recall.svg").read_text()


def test_arrays_and_processes_make_no_difference(tmp_path: Path) -> None:
    maps, truth = write_benchmark(tmp_path, 3)
    run(maps, truth, "-o", tmp_path / "one", "--thresholds", 5, "--processes", 1)
    run(maps, truth, "-o", tmp_path / "two", "--thresholds", 5, "--processes", 2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    cases = [
        Case(file.stem, read_edge_map(file), read_boundaries(Path(truth) / f"{file.stem}.mat"))
        for file in sorted(Path(maps).iterdir())
    ]
    here = evaluate(cases, Settings(thresholds=5), processes=1)
    assert json.loads((tmp_path / "one/results.json").read_text())["ods"]["f"] == here.ods.f


def test_names_that_are_no_utf_8_are_told_by_their_bytes(tmp_path: Path) -> None:
    """As archives of old systems leave them."""
    maps, truth = map(Path, write_benchmark(tmp_path, 2))
    for folder, suffix in ((maps, ".png"), (truth, ".mat")):
        (folder / f"image-1{suffix}").rename(folder / f"caf\udce9{suffix}")
    maps = maps.rename(tmp_path / "mod\udce8le")
    run(maps, truth, "-o", tmp_path / "out", "--thresholds", 3, "--processes", 1)
    assert sorted(contents(tmp_path / "out")) == FILES
    assert pd.read_csv(tmp_path / "out/images.csv")["image"].tolist() == [r"caf\xe9", "image-0"]
    for name in ("report.html", "precision_recall.svg"):
        assert r"mod\xe8le" in (tmp_path / "out" / name).read_text()


@pytest.mark.slow
def test_after_a_kill_it_goes_on_and_ends_alike(tmp_path: Path) -> None:
    maps, truth = write_benchmark(tmp_path, 6, LARGE)
    words = [maps, truth, "--thresholds", "30", "--processes", "2"]
    run(*words, "-o", tmp_path / "whole")
    command = [sys.executable, "-m", "longtail", "edges", "evaluate", *words, "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, start_new_session=True)
    work = tmp_path / ".out.work"
    while len([*work.glob("*/*.npy")]) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    wait_for_the_end_of(process.pid)
    counted = {file: file.stat().st_mtime_ns for file in work.glob("*/[!.]*.npy")}
    assert 2 <= len(counted) < 6
    assert not (tmp_path / "out").exists()
    run(*words, "-o", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not [*tmp_path.glob(".*")]


def wait_for_the_end_of(session: int) -> None:
    """The processes that a killed one had started follow it."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(session, signal.SIGKILL)
    pytest.fail("processes of a killed evaluation go on")


def test_counts_that_are_there_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Case(str(seed), edge_map(outlines(seed=seed), seed), outlines(seed=seed)) for seed in range(2)]
    settings, work = Settings(thresholds=4), tmp_path / "work"
    first = evaluate(cases, settings, work=work, processes=1)
    files = sorted(work.glob("*/*.npy"))  # of this code
    assert len(files) == 2
    for file in files:
        np.save(file, np.load(file) * 0 + 1)
    assert evaluate(cases, settings, work=work, processes=1).counts.predicted.tolist() == 2 * [[1, 1, 1, 1]]
    others = [Case(case.name, case.edge_map * 0.9, case.boundaries) for case in cases]  # type: ignore[operator]
    for changed, changed_settings in (
        (others, settings),
        (cases, settings.model_copy(update={"nms": Suppression.STRUCTURED_EDGES})),
        (cases, Settings(thresholds=5)),
        ([Case(case.name, case.edge_map, outlines(seed=7)) for case in cases], settings),
    ):
        found = evaluate(changed, changed_settings, work=work, processes=1)
        assert found.counts.predicted.max() > 1
    assert first.counts.predicted.max() > 1
    monkeypatch.setattr("longtail.problems.edges.evaluation.evaluation.code_md5", lambda: "of other code")
    assert evaluate(cases, settings, work=work, processes=1).counts.predicted.max() > 1


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY cut off", "shape", "type", "rows"])
def test_damaged_counts_are_made_anew(tmp_path: Path, content: bytes | str) -> None:
    cases = [Case(str(seed), edge_map(outlines(seed=seed), seed), outlines(seed=seed)) for seed in range(2)]
    settings, work = Settings(thresholds=4), tmp_path / "work"
    first = evaluate(cases, settings, work=work, processes=1)
    files = sorted(work.glob("*/*.npy"))
    whole = [np.load(file) for file in files]
    damaged = {"shape": whole[0][:, :-1], "type": whole[0].astype(np.float64), "rows": whole[0][:3]}
    if isinstance(content, bytes):
        files[0].write_bytes(content)
    else:
        np.save(files[0], damaged[content])
    again = evaluate(cases, settings, work=work, processes=1)
    for one, other in zip(again.counts.fields(), first.counts.fields(), strict=True):
        assert one.tolist() == other.tolist()
    assert [np.load(file).tolist() for file in files] == [counts.tolist() for counts in whole]


def python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A script of a user, in several processes."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_example_of_the_documents_runs(tmp_path: Path) -> None:
    write_benchmark(tmp_path, 2)
    (tmp_path / "groundTruth").mkdir()
    (tmp_path / "truth").rename(tmp_path / "groundTruth/test")
    document = Path(__file__).parents[3] / "docs/edges.md"
    script = document.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    done = python(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Point(" in done.stdout
    assert [*(tmp_path / "work").glob("*/*.npy")]


def test_a_script_that_starts_processes_whoever_imports_it_is_told_why(tmp_path: Path) -> None:
    write_benchmark(tmp_path, 2)
    done = python(
        "from pathlib import Path\n"
        "from longtail.problems.edges.evaluation.case import paired\n"
        "from longtail.problems.edges.evaluation.evaluation import evaluate\n"
        "from longtail.problems.edges.evaluation.settings import Settings\n"
        "evaluate(paired(Path('maps'), Path('truth')), Settings(thresholds=3))\n",
        tmp_path,
    )
    assert done.returncode
    assert 'started it without `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


def test_one_annotator_is_no_agreement(tmp_path: Path) -> None:
    case = Case("a", edge_map(outlines()), outlines(annotators=1))
    assert evaluate([case], Settings(thresholds=2), processes=1).human is None


@pytest.mark.parametrize("write", ["map", "annotation", "output"])
def test_bad_input_leaves_nothing(tmp_path: Path, write: str) -> None:
    maps, truth = write_benchmark(tmp_path, 2)
    if write == "map":
        write_map(Path(maps) / "image-1.png", np.zeros((5, 5)))
    elif write == "annotation":
        write_annotations(Path(truth) / "image-1.mat", np.zeros((1, *SHAPE[::-1])))
    else:
        (tmp_path / "out").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"image-1|exists"):
        run(maps, truth, "-o", tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", [["--nms", "canny"], ["--thresholds", "0"], ["--processes", "0"]])
def test_a_wrong_option_is_a_usage_error(tmp_path: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, ["edges", "evaluate", "a", "b", "-o", str(tmp_path / "out"), *words])
    assert done.exit_code == 2


def test_each_image_counts_once() -> None:
    case = Case("a", edge_map(outlines()), outlines())
    with pytest.raises(DataError, match="several maps have the name"):
        evaluate([case, case], Settings())
    with pytest.raises(DataError, match="no map"):
        evaluate([], Settings())


def test_without_the_extra_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("longtail.problems.edges.evaluation.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(DataError, match=r"needs the package skimage.*extra `torch`"):
        run("maps", "truth", "-o", tmp_path / "out")
