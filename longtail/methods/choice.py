"""Which method trains a round, as params.yaml names it."""

from typing import Annotated

from pydantic import Field

from longtail.methods.joint import JointParams
from longtail.methods.lmle import LMLEParams
from longtail.methods.softmax import SoftmaxParams
from longtail.methods.triplet import TripletParams

Choice = Annotated[LMLEParams | TripletParams | JointParams | SoftmaxParams, Field(discriminator="kind")]
