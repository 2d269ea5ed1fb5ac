"""Which method trains, as params.yaml names it."""

from typing import Annotated

from pydantic import Field

from longtail.methods.class_rectification import ClassRectificationParams
from longtail.methods.joint import JointParams
from longtail.methods.lmle import LMLEParams
from longtail.methods.softmax import SoftmaxParams
from longtail.methods.triplet import TripletParams

# Of a round, from a table of quintuplets; and of a classifier, which needs none.
Choice = Annotated[LMLEParams | TripletParams | JointParams | SoftmaxParams, Field(discriminator="kind")]
ClassifierChoice = Annotated[SoftmaxParams | ClassRectificationParams, Field(discriminator="kind")]
