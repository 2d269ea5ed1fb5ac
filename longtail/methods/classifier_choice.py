"""Which method trains a classifier without rounds, as params.yaml names it."""

from typing import Annotated

from pydantic import Field

from longtail.methods.class_rectification import ClassRectificationParams
from longtail.methods.softmax import SoftmaxParams

ClassifierChoice = Annotated[SoftmaxParams | ClassRectificationParams, Field(discriminator="kind")]
