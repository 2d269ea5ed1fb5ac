"""The parent run of a pipeline execution and the nested run of a step: found again by their tags, or made."""

from typing import Any

from longtail.tracking import identity, naming
from longtail.tracking.journal import Event

FINGERPRINT = "longtail.artifacts.fingerprint"
EXECUTION = "longtail.execution"
STEP = "longtail.step"
# The time at which the latest attempt began that wrote to a run: an older attempt, delivered late, does not end it.
ATTEMPT = "longtail.attempt"
PARENT = "mlflow.parentRunId"
UNNAMED = "pipeline "

# MLflow takes at most 100 parameters in one request.
BATCH = 100


class Runs:
    """Runs in one store. `client` is an MlflowClient."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def open(self, opening: Event, dataset: str | None) -> tuple[str, str]:
        """The ids of the parent and the nested run of a step, marked as running; a step without a name has no other run
        than the parent.
        """
        parent = self._given(opening) or self._parent(opening, dataset)
        self._complete(parent, identity.flatten(opening["config"]))
        if not opening["parent"]:
            self._name(parent, opening)
        run = self._nested(parent, opening) if opening["name"] else parent
        self._complete(run, identity.flatten(opening["params"]))
        for one in (parent, run) if not opening["parent"] and run is not parent else (run,):
            self._reopen(one, opening["time"])
        return parent.info.run_id, run.info.run_id

    def close(self, runs: list[str], opening: Event, end: Event) -> None:
        """End the step's run (the first), and its parent (the second) where the step is the last or has failed.

        A parent that somebody else made is left for him to end.
        """
        ends_parent = not opening["parent"] and (opening["last"] or end["status"] != "FINISHED")
        own = runs[:1] if opening["name"] else []
        for run in runs if ends_parent else own:
            self._terminate(run, opening["time"], end)

    def _given(self, opening: Event) -> Any:
        return self._client.get_run(opening["parent"]) if opening["parent"] else None

    def _parent(self, opening: Event, dataset: str | None) -> Any:
        experiment = self._experiment(opening["experiment"])
        tag, value = self._identity(opening, dataset)
        found = self._newest(experiment, f"tags.\"{tag}\" = '{value}'")
        if found:
            return found
        git = opening["git"]
        tags = {
            tag: value,
            "longtail.data_md5": dataset or "",
            "longtail.code_md5": opening["code"],
            "longtail.git_dirty": git.get("dirty", "unknown"),
            "mlflow.source.git.commit": git.get("commit", ""),
            "mlflow.source.name": "longtail",
            "mlflow.source.type": "PROJECT",
            "mlflow.note.content": description(opening, dataset),
        }
        name = opening["run_name"] or f"{UNNAMED}{value if tag == EXECUTION else value[:6]}"
        return self._client.create_run(experiment, opening["time"], tags, name)

    def _identity(self, opening: Event, dataset: str | None) -> tuple[str, str]:
        """The tag by which all steps of a pipeline execution find its run, and the tag's value."""
        # In a cluster a step knows the parameters of those before it, not of all: there the orchestrator's id serves.
        if opening.get("execution"):
            return EXECUTION, opening["execution"].replace("'", "_")
        return FINGERPRINT, identity.fingerprint(opening["config"], dataset, opening["code"])

    def _name(self, parent: Any, opening: Event) -> None:
        """Name the pipeline by method and data, and tag it with both, as soon as a step knows them."""
        for tag, value in naming.names(opening["config"]).items():
            if tag not in parent.data.tags:
                self._client.set_tag(parent.info.run_id, tag, value)
        title = naming.title(opening["config"])
        if title and parent.info.run_name.startswith(UNNAMED) and not opening["run_name"]:
            self._client.update_run(parent.info.run_id, name=title)

    def _nested(self, parent: Any, opening: Event) -> Any:
        name, parent_id = opening["name"], parent.info.run_id
        killed = f"tags.\"{PARENT}\" = '{parent_id}' and tags.\"{STEP}\" = '{name}' and attributes.status != 'FINISHED'"
        found = self._newest(parent.info.experiment_id, killed)
        if found:
            return found
        tags = {PARENT: parent_id, STEP: name, "longtail.stage": opening["stage"], "mlflow.source.name": "longtail"}
        return self._client.create_run(parent.info.experiment_id, opening["time"], tags, name)

    def _newest(self, experiment: str, query: str) -> Any:
        found = self._client.search_runs([experiment], query, max_results=1, order_by=["attributes.start_time DESC"])
        return found[0] if found else None

    def _experiment(self, wanted: dict[str, str]) -> str:
        if "id" in wanted:
            return wanted["id"]
        name = wanted["name"]
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _complete(self, run: Any, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        missing = [Param(key, value) for key, value in params.items() if key not in run.data.params]
        for start in range(0, len(missing), BATCH):
            self._client.log_batch(run.info.run_id, params=missing[start : start + BATCH])

    def _reopen(self, run: Any, attempt: int) -> None:
        if int(run.data.tags.get(ATTEMPT, 0)) < attempt:
            self._client.set_tag(run.info.run_id, ATTEMPT, attempt)
            if run.info.status in ("FAILED", "KILLED"):
                self._client.update_run(run.info.run_id, status="RUNNING")

    def _terminate(self, run_id: str, attempt: int, end: Event) -> None:
        if int(self._client.get_run(run_id).data.tags.get(ATTEMPT, 0)) <= attempt:
            self._client.set_terminated(run_id, end["status"], end["time"])


def description(opening: Event, dataset: str | None, found: str = "") -> str:
    """What a pipeline's page says of it first: what was found, if that is known, and what it was made of."""
    git = opening["git"]
    changed = " with uncommitted changes" if git.get("dirty") == "true" else ""
    rows = {
        "commit": f"`{git['commit']}`{changed}" if git else "not in a git repository",
        "data (md5)": f"`{dataset}`" if dataset else "none",
        "code (md5)": f"`{opening['code']}`",
    }
    title = naming.title(opening["config"])
    above = [f"**{title}**" if title else "", found]
    return "\n\n".join(filter(None, [*above, "\n".join(f"- {name}: {value}" for name, value in rows.items())]))
