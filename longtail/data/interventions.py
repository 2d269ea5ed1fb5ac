"""What a split has changed of its data, as split.json, the log and the report say it."""

from operator import not_

from pydantic import BaseModel, Field

LISTED = 10  # classes that a sentence names


class Injected(BaseModel):
    """That `removed` of the `of` training samples were taken out, so that the classes of `task` became imbalanced."""

    kind: str
    task: str
    removed: int
    of: int

    def sentence(self) -> str:
        """What a person is told."""
        return (
            f"imbalance injected ({self.kind}): {self.removed:,} of {self.of:,} training samples were taken out, "
            f"by the classes of {self.task}"
        )


class ChosenClasses(BaseModel):
    """That `chosen` of the `of` classes of `task` are used, and `left_out` samples of others are not."""

    task: str
    chosen: int
    of: int
    left_out: int

    def sentence(self) -> str:
        """What a person is told."""
        return (
            f"{self.chosen:,} of {self.of:,} classes of {self.task} were chosen: {self.left_out:,} samples of others "
            "are left out"
        )


class RareClass(BaseModel):
    """A class that could not be in every subset, with the samples and groups that the data set has of it."""

    task: str
    name: str
    samples: int
    groups: int


class RareClasses(BaseModel):
    """The classes whose labels became background, how many samples, which had no other label, were left out, and how
    many hard negatives of such classes say nothing any more.
    """

    classes: list[RareClass]
    left_out: int
    negatives: int = Field(0, exclude_if=not_)

    def sentence(self) -> str:
        """What a person is told."""
        named = [
            f"{one.name!r} of {one.task} ({one.samples:,} samples, {one.groups:,} groups)"
            for one in self.classes[:LISTED]
        ]
        if more := len(self.classes) - len(named):
            named.append(f"{more:,} more")
        return (
            f"labels became background where a class cannot be in every subset: {', '.join(named)}; "
            f"samples without any other label were left out: {self.left_out:,}"
            + (f"; hard negatives of such classes are none any more: {self.negatives:,}" if self.negatives else "")
        )


class HiddenLabels(BaseModel):
    """That `hidden` of the `of` labels that training and validation samples have for `task` were taken away."""

    task: str
    share: float = Field(description="what was asked for")
    hidden: int
    of: int

    def sentence(self) -> str:
        """What a person is told."""
        return f"{self.hidden:,} of {self.of:,} labels of {self.task} were hidden in training and validation"
