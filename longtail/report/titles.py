"""What is known by a key, as the reader is told of it."""

from longtail.report.content import Row, TaskReport
from longtail.rules.base import rule_class


def rule_title(key: str) -> str:
    """The title of a rule."""
    return rule_class(key).title


def row_title(row: Row, task: TaskReport) -> str:
    """The title of a row: the rule's, and of several models the model's name with the rule in brackets."""
    return model_title(row.model, rule_title(row.rule), task)


def model_title(model: str, what: str, task: TaskReport) -> str:
    """What is shown of a model, and of several models the model's name with that in brackets."""
    alone = len({row.model for row in task.rows}) == 1
    return what if alone else f"{model} ({what})"
