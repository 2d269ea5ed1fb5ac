"""Hard negatives as further classes of a softmax classifier, in training alone: what is written knows none of them.

Source: the thesis "Learning from fine-grained and long-tailed visual data", section 2.4.3: Softmax + HNS, and + HNM.
"""

from longtail.data.dataset import REJECTED, Task
from longtail.data.splits import Split
from longtail.methods.base import Negatives
from longtail.network.network import Network


def trained_tasks(split: Split, negatives: Negatives) -> list[Task]:
    """The tasks with the classes that a training tells apart: of one with hard negatives, behind its own, one for all
    of these (single), or one for those of each class (by_class).
    """
    return [_widened(task, negatives) if (split.negatives(task) >= 0).any() else task for task in split.tasks]


def _widened(task: Task, negatives: Negatives) -> Task:
    further = {"ignore": [], "single": [REJECTED], "by_class": [REJECTED + name for name in task.classes]}[negatives]
    return task.model_copy(update={"classes": [*task.classes, *further]})


def carry_over(source: Network, target: Network) -> Network:
    """The network `target` with the weights of one that differs in the number of its classes alone; of classes that
    only one of them has it keeps its own.
    """
    theirs, ours = source.state_dict(), target.state_dict()
    for name, weight in ours.items():
        if theirs[name].shape == weight.shape:
            weight.copy_(theirs[name])
        else:
            shared = min(len(weight), len(theirs[name]))
            weight[:shared].copy_(theirs[name][:shared])
    return target
