"""Models under a name: each new one is the challenger; it becomes the champion if the paired tests say that it may."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from longtail.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from longtail.metrics.significance import Difference

# What the leading model says of each test sample: an artifact of the run that registers it.
ANSWERS = "answers.parquet"
# What it is, in words: lies beside it.
CARD = "model_card.md"
CHALLENGER, CHAMPION = "challenger", "champion"
VERSIONS = "mlflow.modelVersions"
TAG = "longtail.difference."


def register(client: Any, name: str, run_id: str, model_id: str, comparison: dict[str, Any]) -> None:
    """Make the logged model the newest version, and the challenger; once, however often it is delivered."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="Image classifiers on class-imbalanced data, by longtail.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    source = f"models:/{model_id}"
    version = next((one for one in versions if one.source == source), None)
    if version is None:
        tags = {f"{TAG}{key}": str(value) for key, value in comparison.items()}
        version = client.create_model_version(name, source, run_id, tags=tags, model_id=model_id)
        versions.append(version)
    # By this tag the pages of the model and its runs link to the version.
    client.set_logged_model_tags(model_id, {VERSIONS: json.dumps([{"name": name, "version": int(version.version)}])})
    if int(version.version) == max(int(one.version) for one in versions) and CHAMPION not in version.aliases:
        client.set_registered_model_alias(name, CHALLENGER, version.version)


def promote(client: Any, name: str | None, *, insist: bool) -> str:
    """Move the alias champion to the challenger of `name`, or of the only name that has one; a sentence of it.

    Raises DataError if there is none, or if paired tests do not show that it beats the baseline of its report, and the
    present champion on the same test samples.
    """
    from longtail.metrics.significance import FEWEST

    model = _challenged(client, name)
    version = client.get_model_version(model.name, model.aliases[CHALLENGER])
    doubt = _doubt(version.tags) or _doubt_beside_champion(client, model, version)
    if doubt and not insist:
        raise DataError(
            f"version {version.version} of {model.name} stays the challenger: {doubt}; --insist promotes it"
        )
    client.set_registered_model_alias(model.name, CHAMPION, version.version)
    client.delete_registered_model_alias(model.name, CHALLENGER)
    said = f"version {version.version} of {model.name} is the champion" + (f", although {doubt}" if doubt else "")
    fewest = int(version.tags.get(f"{TAG}fewest", FEWEST))
    few = f"; a class has {fewest} independent test images, so that intervals are too narrow" if fewest < FEWEST else ""
    return said + few


def _challenged(client: Any, name: str | None) -> Any:
    found = [one for one in _every_model(client) if CHALLENGER in one.aliases]
    wanted = [one for one in found if name in (None, one.name)]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(one.name for one in found[:10]) or "none"
    what = "no model" if name is None else f"no model {name}"
    raise DataError(
        f"several models have a challenger: {names}; say which with --name"
        if wanted
        else f"{what} has a challenger (those that have one: {names}); `longtail evaluate` makes one"
    )


def _every_model(client: Any) -> Iterator[Any]:
    """A store gives a hundred at a time."""
    found = client.search_registered_models()
    yield from found
    while found.token:
        found = client.search_registered_models(page_token=found.token)
        yield from found


def _doubt(tags: dict[str, str]) -> str | None:
    """Why the paired test does not speak for a version; None if it does."""
    from longtail.metrics.significance import Difference

    found = {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}
    if found.get("model") and found["model"] == found.get("baseline"):
        return (
            f"it is {found['baseline']}, the baseline itself, which no test compares with another; what is to be "
            "promoted comes first in evaluate.models, before `longtail evaluate`"
        )
    if not {"baseline", "mean", "p"} <= set(found):
        return "no paired test compares it with a baseline: nothing was resampled"
    low, high = (float(found[end]) if end in found else None for end in ("low", "high"))
    return _not_above(Difference(float(found["mean"]), low, high, float(found["p"])), found["baseline"])


def _doubt_beside_champion(client: Any, model: Any, version: Any) -> str | None:
    """Why no paired test says that a version beats the champion; None if one does, or there is no champion."""
    if CHAMPION not in model.aliases:
        return None
    from longtail.metrics.answers import compared, same_test

    champion = client.get_model_version(model.name, model.aliases[CHAMPION])
    who = f"the champion (version {champion.version})"
    first, second = (_answers(client, one.run_id) for one in (version, champion))
    if first is None or second is None:
        where = f"the run of version {(version if first is None else champion).version} has no {ANSWERS}"
        return f"no paired test can compare it with {who}: {where}"
    if not same_test(first, second):
        return f"no paired test can compare it with {who}, which was tested on other samples or labels"
    return _not_above(compared(first, second), who)


def _answers(client: Any, run_id: str) -> "pd.DataFrame | None":
    """What the model of a run says of each test sample; None where the run, or its file, is gone."""
    import pandas as pd
    from mlflow.exceptions import MlflowException

    try:
        if ANSWERS not in [file.path for file in client.list_artifacts(run_id)]:
            return None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    with TemporaryDirectory() as folder:
        return pd.read_parquet(Path(client.download_artifacts(run_id, ANSWERS, folder)))


def _not_above(found: "Difference", other: str) -> str | None:
    """By the test that the report's verdict goes by."""
    if found.significant and found.mean > 0:
        return None
    if found.interval is None:
        return f"no paired test can compare it with {other}: all test images are of one group"
    low, high = (f"{100 * end:+.1f}" for end in found.interval)
    by = f"{100 * found.mean:+.1f} points, 95 % interval {low} to {high}, p = {found.p:.2g}"
    return f"its difference to {other} is not above 0 by more than chance ({by})"
