"""How much a page shows one by one before it groups, or chooses: it has to open with 10,000 classes, and 200 tasks."""

from collections.abc import Sequence

from longtail.report.content import TaskReport

# Up to so many classes each has its bar, its name and its row; more are shown in so many groups.
MANY_CLASSES, GROUPS = 100, 20
# Up to so many tasks each has a section of its own; of more, so many are shown in full.
MANY_TASKS, IN_FULL = 8, 6
# Rows of a table of the worst, and of a figure of all tasks.
WORST, MOST_GAINS = 20, 60
# Classes on a map of the embedding: more colours nobody tells apart.
ON_MAP = 40


def in_full(tasks: Sequence[TaskReport]) -> list[int]:
    """The places of the tasks that get a section: all of a few, of many those where the leading model is worst."""
    places = range(len(tasks))
    if len(tasks) <= MANY_TASKS:
        return list(places)
    scores = [task.main.metrics.mean_class_accuracy for task in tasks]
    known = [place for place in places if scores[place] is not None]
    return sorted(sorted(known, key=lambda place: scores[place] or 0.0)[:IN_FULL])
