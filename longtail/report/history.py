"""How a model came about, from its state and its lineage to what the report says of it."""

from collections.abc import Mapping
from typing import Any

from longtail.artifacts.lineage import Lineage, Step
from longtail.methods.catalogue import PARTS, title_of
from longtail.network.snapshot import Round as Past
from longtail.network.snapshot import State, mean_score
from longtail.report.content import ModelReport, Round
from longtail.report.titles import rule_title
from longtail.sources.quoting import shown

PRIORS = {
    "random": "Fresh weights",
    "imagenet": "ImageNet weights",
    "file": "Weights from a file",
    "model": "Weights of another pipeline's model",
    "pixels": "Pixels",
    "hog": "Histograms of oriented gradients",
}

SHOWN = PARTS | {"validation_loss": "on validation"}


def model_report(name: str, state: State, lineage: Lineage, after: str | None = None) -> ModelReport:
    """What the report says of a model."""
    rounds = [_round(past, state) for past in state.history]
    return ModelReport(name, method_title(lineage), _steps(state, lineage), state.rule, rounds, after)


def started_from(name: str, models: Mapping[str, Lineage]) -> str | None:
    """Of the models with these lineages the nearest one with whose weights `name` began, if any."""
    trained = {key: other for other, lineage in models.items() if other != name and (key := _model_step(lineage))}
    own, steps = _model_step(models[name]), models[name].steps
    for step in reversed([*models[name].chain()]):
        if step.key in trained and step.key != own:
            return trained[step.key]
        if _began_anew(step, steps):
            return None
    return None


def trained_elsewhere(name: str, lineage: Lineage) -> list[str]:
    """A sentence for each other data set, or other split of this one, on which the weights were trained that a model
    began with.
    """
    others = {step.dataset: step for step in lineage.chain() if step.stage in ("fit", "train")}
    others.pop(lineage.dataset, None)
    sources = {step.dataset: step.params.get("source") for step in lineage.chain() if step.stage == "ingest"}
    found = [
        f"{name}: began with weights that were trained on another data set (md5 {md5}{_named(sources.get(md5))}), by "
        f"{title_of(step.params['method'])}."
        for md5, step in others.items()
    ]
    if _on_another_split(lineage):
        found.append(
            f"{name}: began with weights that were trained on another split of this data set: images of this test "
            "subset may have been among their training images."
        )
    return found


def _on_another_split(lineage: Lineage) -> bool:
    trainings = [step for step in lineage.chain() if step.stage in ("fit", "train") and step.dataset == lineage.dataset]
    return any(step.inputs.get("split") not in (None, lineage.split) for step in trainings)


def seen_as(name: str, lineage: Lineage) -> list[str]:
    """At which sizes and in how many views a model sees images, where that is not once as they are packed."""
    training = lineage.training()
    if training is None:
        return []
    how, varied = training.params.get("inference", {}), training.params["optimisation"]["augmentation"]
    sizes = [f"trained on images of {side} pixels" for side in [varied.get("side")] if side]
    sizes += [f"tested on images of {side}" for side in [how.get("side")] if side]
    views = (6 if how.get("crops") else 1) * (2 if how.get("mirror") else 1)
    parts = [
        f"the {word}"
        for word, asked in (("corners and the centre", "crops"), ("mirror images", "mirror"))
        if how.get(asked)
    ]
    if parts:
        sizes.append(f"its logits and embeddings are the means over {views} views, {' and '.join(parts)} among them")
    return [f"{name}: {'; '.join(sizes)}."] if sizes else []


def _named(source: dict[str, Any] | None) -> str:
    """What `ingest` was told of a data set, as far as it names it."""
    words = [str(source[key]) for key in ("kind", "name", "path") if source.get(key)] if source else []
    return f"; {shown(' '.join(words))}" if words else ""


def _began_anew(step: Step, steps: Mapping[str, Step]) -> bool:
    """Whether it is a first round with new weights: what it follows has given it clusters alone."""
    before = steps.get(step.inputs.get("previous", ""))
    first = step.stage == "train" and (before is None or before.stage != "train")
    return first and bool(step.params.get("fresh"))


def _model_step(lineage: Lineage) -> str | None:
    """The key of the step that made the model, of which the lineage of an index tells."""
    return lineage.steps[lineage.made_by].inputs.get("model") if lineage.made_by else None


def method_title(lineage: Lineage) -> str:
    """The method that a model was trained by last; of what `start` made, the prior."""
    training = lineage.training()
    if training is not None:
        return title_of(training.params["method"])
    return PRIORS[lineage.parameters()["start"]["prior"]]


def _steps(state: State, lineage: Lineage) -> str:
    training = lineage.training()
    if training is None:
        return "nothing was trained"
    params = training.params
    drawn = f"on {_drawn(params)}"
    if not state.round:
        return f"one training {drawn}"
    rounds = "one round" if state.round == 1 else f"{state.round} rounds"
    return f"{rounds} {drawn}; round {state.best_round} is evaluated"


def _drawn(params: dict[str, Any]) -> str:
    """How the mini-batches of a training were drawn and weighed, in words."""
    scheme, cost = params["sampling"], float(params["cost"])
    drawn = (
        f"{scheme.replace('_', '-')} mini-batches"
        if isinstance(scheme, str)
        else f"mini-batches {scheme:g} from natural to class-even"
    )
    costs = "without class costs" if not cost else "with class costs" + (f" of strength {cost:g}" if cost < 1 else "")
    few, deferred = params.get("at_most"), params.get("deferred")
    of_few = f" of at most {few} images a class" if few else ""
    later = f", after {100 * deferred:g} % natural and without" if deferred else ""
    return f"{drawn}{of_few}, {costs}{later}"


def _round(past: Past, state: State) -> Round:
    curve = past.curve
    return Round(
        number=past.round,
        iterations=[int(point["iteration"]) for point in curve],
        loss=[point["loss"] for point in curve],
        parts={shown: [point[key] for point in curve] for key, shown in SHOWN.items() if curve and key in curve[0]},
        validation=past.scores,
        selected=past.round == state.best_round,
    )


def notes(name: str, state: State) -> list[str]:
    """What a reader must know of a model that was trained in rounds."""
    before = state.history[0].scores
    if not state.best_round or not before or mean_score(before) < state.best_score:
        return []
    return [
        f"{name}: on validation no round beats what the rounds follow: {100 * state.best_score:.1f} % against "
        f"{100 * mean_score(before):.1f} % by the {rule_title(state.rule)}."
    ]
