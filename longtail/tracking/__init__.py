"""Tracking: one parent run per pipeline execution, one nested run per step, in MLflow.

    with tracking.stage_run("train", "train@2", params=…, config=…, dataset=md5):
        tracking.log_metrics({"train/loss": 0.7}, step=100)

Everything goes first to a journal under `.longtail/tracking/`, or `$LONGTAIL_WORK/tracking/`, then to MLflow: a server
that is down or slow neither stops a step nor loses what it logged, and `sync` delivers later what is left. On a local
SQL store a step of a few seconds writes its journal alone (opening MLflow would take longer than the step); the next
longer step, the last step, a failing step and `sync` deliver it.

Environment: MLFLOW_TRACKING_URI (default: `sqlite:///mlflow.db`), MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID
(default: the experiment "longtail"), MLFLOW_RUN_ID (an existing run to use as the parent, as an orchestrator gives it),
MLFLOW_RUN_NAME (a name for the parent), LONGTAIL_EXECUTION (an orchestrator's id of the pipeline execution: by it the
steps find the parent), LONGTAIL_TRACKING (`off`, or `later`: journals alone, which `sync` delivers).
"""

from longtail.tracking.data import log_dataset
from longtail.tracking.log import log_artifact, log_metrics, log_model, log_table, set_description, set_tag
from longtail.tracking.registry import ANSWERS, CARD
from longtail.tracking.run import stage_run
from longtail.tracking.sync import promote, sync

__all__ = [
    "ANSWERS",
    "CARD",
    "log_artifact",
    "log_dataset",
    "log_metrics",
    "log_model",
    "log_table",
    "promote",
    "set_description",
    "set_tag",
    "stage_run",
    "sync",
]
