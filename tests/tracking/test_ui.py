"""What a person sees in MLflow after two pipeline executions: metrics, report, tables, and a comparison."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import FLAGS, chromium
from mlflow_server import MlflowServer, make_database

from longtail import tracking
from longtail.data.dataset import Task
from longtail.tracking import identity

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1700, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server over the local store that two pipeline executions have filled."""
    folder = tmp_path_factory.mktemp("ui")
    database = make_database(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_NAME", "RANK"):
            patch.delenv(name, raising=False)
        for name in ("LONGTAIL_TRACKING", "LONGTAIL_EXECUTION"):
            patch.delenv(name, raising=False)
        patch.setattr(identity, "code_md5", lambda: "code")
        for margin, accuracy in ((0.2, 0.81), (0.4, 0.86)):
            execute_pipeline(folder, margin, accuracy)
    server = MlflowServer(database, folder / "artifacts")
    server.start()
    yield server
    server.kill()


def execute_pipeline(folder: Path, margin: float, accuracy: float) -> None:
    config = {"split": {"seed": 0}, "train": {"margin": margin, "lr": 0.05}}

    def step(name: str, last: bool = False) -> AbstractContextManager[None]:
        params = {"margin": margin} if name.startswith("train") else {}
        return tracking.stage_run(
            name.partition("@")[0], name, params=params, config=config, dataset="0f343b0931126a20", last=last
        )

    with step("train@1"):
        for number in range(30):
            tracking.log_metrics({"train/loss": margin + 1 / (number + 1)}, step=10 * number)
    with step("evaluate", last=True):
        tracking.log_metrics({"test/label/mean_class_accuracy": accuracy}, parent=True)
        (folder / "report.html").write_text(f"<!doctype html><h1>Report</h1><p>Mean per-class accuracy {accuracy}</p>")
        tracking.log_artifact(folder / "report.html", "report", parent=True)
        table = pd.DataFrame({"class": ["zero", "one"], "recall": [0.75, 0.875]})
        tracking.log_table(table, "tables/label_classes.csv", parent=True)
        log_model(folder)


def log_model(folder: Path) -> None:
    (folder / "index").mkdir(exist_ok=True)
    (folder / "index" / "weights").touch()
    example = np.zeros((1, 4, 4, 1), np.uint8)
    task = Task(name="label", classes=["zero", "one"])
    tracking.log_model(folder / "index", tasks=[task], example=example, parent=True)


@pytest.fixture(scope="module")
def runs(server: MlflowServer) -> dict[str, str]:
    """The addresses of the page of the better pipeline's parent, of its training step, and of the list of runs."""
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("longtail").experiment_id
    (parent,) = client.search_runs([experiment], "params.`train.margin` = '0.4'")
    (train,) = client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`longtail.stage` = 'train'"
    )
    address = f"{server.uri}/#/experiments/{experiment}/runs"
    return {
        "list": f"{address}?workflowType=machine_learning",
        "parent": f"{address}/{parent.info.run_id}",
        "train": f"{address}/{train.info.run_id}",
    }


def open_page(page: Any, address: str, what: Any) -> None:
    """Open an address as a new document and wait until it shows something. A request that fails leaves MLflow's page
    without its part for good, so it is loaded once more, as a person would.
    """
    from playwright.sync_api import TimeoutError as TookTooLong

    for last in (False, True):
        page.goto("about:blank")  # else only the fragment changes, and what failed to load before stays away
        page.goto(address)
        try:
            what.first.wait_for()
            break
        except TookTooLong as error:
            if last:
                raise AssertionError(f"{address} shows only: {page.inner_text('body')}") from error


def shows(what: Any, count: int = 1) -> None:
    """The page shows so many of it, or comes to within half a minute: each part is fetched by a request of its own."""
    from playwright.sync_api import expect

    expect(what).to_have_count(count, timeout=30_000)
    expect(what.first).to_be_visible(timeout=30_000)


def test_the_run_page_shows_metrics_steps_and_model(page: Any, runs: dict[str, str]) -> None:
    open_page(page, runs["parent"], page.get_by_text("test/label/mean_class_accuracy"))
    shows(page.get_by_text("0.86"))
    shows(page.get_by_role("link", name="train@1"))
    page.get_by_text("Output", exact=True).wait_for()
    shows(page.get_by_role("link", name="model", exact=True))


def test_the_training_step_shows_its_curve(page: Any, runs: dict[str, str]) -> None:
    open_page(page, f"{runs['train']}/model-metrics", page.get_by_text("train@1 (train/loss)"))
    page.locator(".js-plotly-plot .scatterlayer .js-line").first.wait_for(state="attached")


def test_the_artifact_page_shows_the_report_rendered(page: Any, runs: dict[str, str]) -> None:
    report = page.frame_locator("iframe")
    open_page(page, f"{runs['parent']}/artifacts/report/report.html", report.get_by_role("heading", name="Report"))
    shows(report.get_by_text("Mean per-class accuracy 0.86"))


def test_the_artifact_page_shows_a_table_of_classes(page: Any, runs: dict[str, str]) -> None:
    tables = page.get_by_text("tables", exact=True)
    open_page(page, f"{runs['parent']}/artifacts", tables)
    tables.click()
    page.get_by_text("label_classes.csv", exact=True).click()
    page.get_by_text("recall", exact=True).wait_for()
    shows(page.get_by_text("0.875", exact=True))


def test_two_ticked_runs_are_compared(page: Any, runs: dict[str, str]) -> None:
    open_page(page, runs["list"], page.get_by_text("pipeline "))
    boxes = page.get_by_label("Press Space to toggle row selection")
    shows(boxes, 2)  # the steps are folded into their pipelines
    boxes.first.click()
    boxes.last.click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Comparing 2 Runs").wait_for()
    margins = page.get_by_role("row").filter(has_text="train.margin").inner_text().split()
    assert sorted(margins) == ["0.2", "0.4", "train.margin"]
    page.get_by_role("link", name="test/label/mean_class_accuracy").wait_for()
    for accuracy in ("0.81", "0.86"):
        shows(page.locator(".ReactVirtualized__Grid").get_by_text(accuracy, exact=True))
