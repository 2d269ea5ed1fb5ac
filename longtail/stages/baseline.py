"""What a classifier is compared with: plain cross-entropy on mini-batches as the data are."""

from longtail.distributed import parallel
from longtail.fitting import ClassifierParams, fit_classifier
from longtail.methods.base import Drawing
from longtail.methods.softmax import Softmax
from longtail.stages.contract import Input, Output, stage


class Params(ClassifierParams):
    """The `baseline` section of params.yaml, with the shared seed and network; give it the budget of `fit`."""


@parallel
@stage
def run(dataset: Input, split: Input, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory; return the head's validation score and the last losses."""
    drawing = Drawing(batch=params.batch, sampling="natural", cost=False, together=True)
    return fit_classifier(Softmax, drawing, params, dataset, split, model)
