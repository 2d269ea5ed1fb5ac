"""Following a TrainJob: its log as this step's own, until it is complete."""

import time

from longtail.errors import DataError
from longtail.train_job.cluster import Cluster, State, UnavailableError

LINES = 500  # of the log, at most, each time
PATIENCE = 600.0  # seconds without an answer of the API; a control plane that is upgraded takes minutes


class Log:
    """The log of the first process's machine, shown line by line as it comes."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name, self._until = cluster, name, ""

    def show(self) -> None:
        """Print what is new.

        A container that is started again begins its log anew: the times tell what is new.
        """
        until = self._until
        for line in self._cluster.log(self._name, LINES):
            when, _, text = line.partition(" ")
            if when > until:
                self._until = when
                print(text, flush=True)


def follow(cluster: Cluster, name: str, poll: float) -> None:
    """Show the log until the job is complete, looking every `poll` seconds. Raises DataError if it fails.

    The stage's own sentence ends it at once: the runtime would start the containers several times more (a Job's
    backoffLimit, minutes), only for them to say the same.
    """
    log, heard = Log(cluster, name), time.monotonic()
    while True:
        try:
            state, sentence = cluster.state(name), cluster.last_words(name)
            log.show()
            heard = time.monotonic()
            if _complete(cluster, name, state, sentence):
                return
        except UnavailableError as error:
            if time.monotonic() - heard > PATIENCE:
                raise DataError(f"{error} for {PATIENCE / 60:.0f} minutes; the TrainJob {name} goes on") from error
        time.sleep(poll)


def _complete(cluster: Cluster, name: str, state: State | None, sentence: str | None) -> bool:
    if state is None or state.condition == "Deleted":
        raise DataError(f"the TrainJob {name} was deleted before it was complete")
    if state.condition == "Complete":
        return True
    if sentence:
        cluster.delete(name)
        raise DataError(f"the TrainJob {name} failed: {sentence}")
    if state.condition == "Failed":
        raise DataError(f"the TrainJob {name} failed ({state.reason}); the log of its first machine is above")
    return False
