"""A classifier by a method that needs no rounds: class rectification, or cross-entropy with sampling and costs."""

from pydantic import Field

from longtail.distributed import parallel
from longtail.fitting import ClassifierParams, fit_classifier
from longtail.methods.base import Drawing
from longtail.methods.choice import ClassifierChoice
from longtail.methods.class_rectification import ClassRectificationParams
from longtail.samplers import Sampling
from longtail.stages.contract import Input, Output, stage


class Params(ClassifierParams):
    """The `fit` section of params.yaml, with the shared seed and network."""

    method: ClassifierChoice = ClassRectificationParams()
    sampling: Sampling = Field("natural", description="natural; for one task after the other: class_even, over, under")
    cost: bool = Field(False, description="give the classes of a mini-batch equal weight in the cross-entropy")


@parallel
@stage
def run(dataset: Input, split: Input, model: Output, *, params: Params) -> dict[str, float]:
    """Write the model directory; return the head's validation score and the last losses."""
    drawing = Drawing(batch=params.batch, sampling=params.sampling, cost=params.cost, together=True)
    return fit_classifier(params.method.build, drawing, params, dataset, split, model)
