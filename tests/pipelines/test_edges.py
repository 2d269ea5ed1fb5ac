"""The pipeline of edges: its graph, its components, and its workspace for DVC, on made-up photographs."""

import inspect
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from annotated_photographs import write_photographs
from compiled import DECLARED, Compiled, Tree, kinds, stage_of, trainings, types
from kfp.compiler import Compiler
from kfp_stub import KfpStub
from s3_server import BUCKET, CREDENTIALS, S3Server, dvc
from tiny import hashes
from workspace import Workspace

import components
from components.images import CUDA
from examples.edges.__main__ import main
from examples.photographs import main as photographs_example
from longtail.artifacts.reading import read_json
from longtail.artifacts.yaml_file import read_yaml
from longtail.parameters import checked_sections
from longtail.stages import EDGE_STAGES, STAGES
from pipelines.arguments import recorded_parameters, sections, trainings_of
from pipelines.graph import specification, tasks
from pipelines.outputs import outputs
from pipelines.pipeline import pipeline

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "examples/edges/params.yaml"
MODELS = DECLARED["evaluate"]["models"]


@pytest.fixture(scope="module")
def edges() -> Compiled:
    return Compiled(edges=True)


def test_behind_every_model_of_the_report_maps_are_made_and_scored(edges: Compiled) -> None:
    plain = set(Compiled().tasks)
    assert set(edges.tasks) == plain | {f"{stage}@{name}" for stage in EDGE_STAGES for name in MODELS}
    for name in MODELS:
        assert edges.sources(f"detect@{name}") == {"dataset": "fetch", "split": "split", "index": f"index@{name}"}
        assert edges.sources(f"score@{name}") == {"dataset": "fetch", "maps": f"detect@{name}"}


@pytest.mark.parametrize("stage", EDGE_STAGES)
def test_a_component_has_the_artifacts_of_its_stage_and_its_own_section(stage: str, edges: Compiled) -> None:
    for step in (step for step in edges.tasks if stage_of(step) == stage):
        component = edges.component(step)
        assert types(component["inputDefinitions"]) == kinds(stage, "input")
        shown = {"metrics": "Metrics"} | ({"page": "HTML"} if stage == "score" else {})
        assert types(component["outputDefinitions"]) == kinds(stage, "output") | shown
        assert edges.tasks[step]["inputs"]["parameters"] == {"params": {"componentInputParameter": stage}}
        assert edges.containers[step]["image"] == CUDA


@pytest.mark.parametrize("stage", EDGE_STAGES)
def test_a_component_hands_its_stage_every_artifact(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: Tree = {}

    def execute_component(
        name: str, paths: dict[str, str], section: Tree, record: str, show: Any = None
    ) -> dict[str, float]:
        given.update(name=name, paths=paths, section=section, record=record)
        return {}

    class Artifact:
        def __init__(self, name: str) -> None:
            self.path = f"/{name}"

    function = getattr(components, stage).python_func
    monkeypatch.setattr("longtail.execution.execute_component", execute_component)
    names = [name for name in inspect.signature(function).parameters if name != "params"]
    function(params={"stride": 4}, **{name: Artifact(name) for name in names})
    paths = {name: f"/{name}" for name in kinds(stage, "input", "output")}
    assert given == {"name": stage, "paths": paths, "section": {"stride": 4}, "record": "/metrics"}


def test_only_detect_asks_for_a_gpu(edges: Compiled) -> None:
    assert edges.with_gpu() & set(EDGE_STAGES) == {"detect"}


def test_its_tasks_come_in_the_order_of_the_steps(tmp_path: Path) -> None:
    made = pipeline(trainings(), None, edges=True)
    Compiler().compile(made, str(tmp_path / "pipeline.yaml"))
    names = [stage_of(task.step) for task in tasks(specification(made))]
    assert names.index("detect") > max(place for place, name in enumerate(names) if name == "index")


def test_the_examples_parameters_are_right_and_every_section_has_its_step() -> None:
    stages = [stage for stage in (*STAGES, *EDGE_STAGES) if stage != "fetch"]
    found = checked_sections(PARAMS, stages)
    assert {stage for stage, _ in found} == set(stages) - {"features"}
    assert set(EDGE_STAGES) <= set(sections(PARAMS))
    assert recorded_parameters(PARAMS)["score"] == {"nms": "structured_edges", "thresholds": 99}


def tiny(params: dict[str, Any]) -> dict[str, Any]:
    """The example's parameters, of few patches and short trainings."""
    params["ingest"]["source"] |= {"patches": 60, "classes": 3}
    params["ingest"]["image_shape"] = [35, 35, 3]
    params |= {"cluster_size": 20, "network": {"backbone": "small_cnn", "embedding": 8}}
    for training in (*params["fits"].values(), params["train"]):
        training |= {"batch": 16}
        training["optimisation"]["iterations"] = 6
    params["evaluate"] |= {"resamples": 200}
    params["detect"] |= {"stride": 6, "side": 8, "neighbours": 2}
    params["score"] |= {"thresholds": 5, "processes": 1}
    return params


@pytest.mark.parametrize("make", [lambda at: main(at, at), photographs_example])
def test_an_example_is_not_made_where_the_code_lies(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which it would delete; here some other code."""
    monkeypatch.setattr("examples.workspaces.ROOT", tmp_path)
    (tmp_path / "longtail").mkdir()
    (tmp_path / "longtail/code.py").touch()
    with pytest.raises(SystemExit):
        make(tmp_path)
    assert (tmp_path / "longtail/code.py").exists()


STRANGE = ("a: b", "two # numbers", "a, b", "{a} [b]", "it's", 'of "them"', "café 😀", "back\\slash", "*", "y" * 200)


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("packed", [False, True])
def test_a_path_may_have_what_yaml_takes_for_its_own(name: str, packed: bool, tmp_path: Path) -> None:
    data = tmp_path / name / (f"{name}.tar" if packed else "photographs")
    data.parent.mkdir()
    data.touch() if packed else data.mkdir()
    main(tmp_path / "workspace", data)
    found = read_yaml(tmp_path / "workspace/params.yaml")
    assert found["data"] == str(data.parent if packed else data)
    assert found["ingest"]["source"].get("path") == (data.name if packed else None)
    assert found["ingest"]["source"]["classes"] == 150
    assert found["seed"] == 0


def edges_workspace(root: Path) -> Path:
    """A workspace of the example in which nothing has run."""
    write_photographs(root / "photographs", each=2)
    main(root / "workspace", root / "photographs")
    file = root / "workspace/params.yaml"
    file.write_text(yaml.safe_dump(tiny(read_yaml(file))))
    return root / "workspace"


def test_adopt_knows_the_tasks_of_edges_and_where_dvc_has_what_they_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(edges_workspace(tmp_path))
    params = Path("params.yaml")
    found = {made.stage: made for made in outputs(params, pipeline(trainings_of(params), None, edges=True))}
    assert [name for name in found if stage_of(name) in EDGE_STAGES] == [
        *("detect@r1", "detect@softmax", "score@r1", "score@softmax")
    ]
    second = found["score@softmax"]
    assert (second.task, second.target) == ("score-2", "edges/dvc.yaml:score@softmax")
    assert second.artifacts == {"scores": Path("artifacts/softmax/scores")}
    assert second.metrics == Path("metrics/softmax-score.json")
    assert (found["evaluate"].target, found["evaluate"].of_rounds) == ("evaluate", True)
    # The same workspace, for parameters without the sections.
    plain = outputs(params, pipeline(trainings_of(params), None))
    assert [made.stage for made in plain] == [name for name in found if stage_of(name) not in EDGE_STAGES]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the example, after `dvc repro`."""
    made = edges_workspace(tmp_path_factory.mktemp("edges"))
    dvc("repro", "--recursive", ".", cwd=made)
    return made


def with_code(workspace: Path) -> None:
    """Let `python -m pipelines` run there."""
    for name in ("components", "pipelines"):
        if not (workspace / name).exists():
            (workspace / name).symlink_to(ROOT / name)


@pytest.mark.slow
def test_dvc_makes_maps_and_scores_of_every_model_and_then_has_nothing_to_do(workspace: Path) -> None:
    for model in ("r1", "softmax"):
        assert sorted(file.stem for file in (workspace / f"artifacts/{model}/maps").glob("*.png")) == ["20", "21"]
        measured = read_json(workspace / f"metrics/{model}-score.json")
        assert set(measured) == {"ods", "ois", "ap"}
        assert read_json(workspace / f"artifacts/{model}/scores/results.json")["nms"] == "structured_edges"
    assert "ods" in dvc("metrics", "show", cwd=workspace)
    assert "up to date" in dvc("status", cwd=workspace)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["subprocess", pytest.param("docker", marks=pytest.mark.docker)])
def test_the_pipeline_makes_the_maps_of_dvc_and_tracks_their_scores(
    runner: str, workspace: Path, request: pytest.FixtureRequest
) -> None:
    if runner == "docker":
        request.getfixturevalue("engine")
    with_code(workspace)
    made = Workspace(workspace, new=False)
    before = {run.info.run_id for run in made.parents()}
    tasks = made.local("--runner", runner)
    # kfp numbers the tasks of a component in the order of the graph.
    for model, number in (("r1", ""), ("softmax", "-2")):
        assert hashes(workspace / f"artifacts/{model}/maps") == hashes(tasks / f"detect{number}/maps")
        assert hashes(workspace / f"artifacts/{model}/scores") == hashes(tasks / f"score{number}/scores")
        shown = tasks / f"score{number}/page", workspace / f"artifacts/{model}/scores/report.html"
        assert shown[0].read_text() == shown[1].read_text()
    (execution,) = [run for run in made.parents() if run.info.run_id not in before]
    for model in ("r1", "softmax"):
        (scored,) = [run for run in made.steps(execution) if run.info.run_name == f"score@{model}"]
        expected = read_json(workspace / f"metrics/{model}-score.json")
        assert {name: scored.data.metrics[name] for name in expected} == pytest.approx(expected)


@pytest.mark.slow
def test_a_run_of_edges_is_adopted_with_its_maps_and_scores(workspace: Path, tmp_path: Path) -> None:
    """Into a workspace that has the data alone."""
    with_code(workspace)
    done = Workspace(workspace, new=False)
    done.environment["LONGTAIL_TRACKING"] = "off"
    tasks_of_run = done.local("--runner", "subprocess")
    own = Workspace(Path(shutil.copytree(workspace, tmp_path / "own", symlinks=True)), new=False)
    for path in (*(own.path / "artifacts").iterdir(), *(own.path / "metrics").iterdir()):
        if "dataset" not in path.name and "ingest" not in path.name:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    store, stub = S3Server(), KfpStub()
    try:
        document = {"pipeline_spec": specification(pipeline(trainings_of(own.path / "params.yaml"), None, edges=True))}
        stub.runs["run"] = {"run_id": "run", "state": "SUCCEEDED", "pipeline_spec": document}
        for file in (one for one in tasks_of_run.rglob("*") if one.is_file()):
            task, _, name = file.relative_to(tasks_of_run).as_posix().partition("/")
            store.put(f"v2/longtail/run/{task}/{uuid.uuid5(uuid.NAMESPACE_DNS, task)}/{name}", file.read_bytes())
        own.environment |= CREDENTIALS | {"LONGTAIL_TRACKING": "off"}
        where = ("--host", stub.address, "--endpoint", store.address, "--pipeline-root", f"s3://{BUCKET}/v2")
        adopted = own.run("pipelines", "adopt", "run", "--any-commit", *where)
    finally:
        stub.stop()
        store.kill()
    assert adopted.returncode == 0, adopted.stderr
    assert "the report is artifacts/report/report.html" in adopted.stdout
    for place in ("artifacts/r1/maps", "artifacts/softmax/scores", "artifacts/report"):
        assert hashes(own.path / place) == hashes(workspace / place)
    assert "up to date" in own.dvc("status")
