"""What the methods on quintuplets share: the table of the round."""

from longtail.methods.base import Method, Setup
from longtail.quintuplets.table import load_tables


class QuintupletMethod(Method):
    """A method whose mini-batches are rows of the quintuplet table: `batch` anchors a task and step."""

    trains_classifier = False

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        assert setup.table is not None
        self.tables = load_tables(setup.table)
