"""What is known by a key, as the reader is told of it."""

from longtail.report.content import Row, TaskReport
from longtail.rules.base import rule_class


def rule_title(key: str) -> str:
    """The title of a rule."""
    return rule_class(key).title


def row_title(row: Row, task: TaskReport) -> str:
    """The title of a row: the rule's, and of several models the model's name with the rule in brackets."""
    alone = len({other.model for other in task.rows}) == 1
    return rule_title(row.rule) if alone else f"{row.model} ({rule_title(row.rule)})"
