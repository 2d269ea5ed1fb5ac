"""`longtail edges evaluate`: two folders of files, to a folder of results."""

import json
from pathlib import Path

from longtail.artifacts.fingerprint import fingerprint
from longtail.artifacts.outputs import written_whole
from longtail.artifacts.work import release, succeed, work_directory
from longtail.errors import DataError
from longtail.problems.edges.evaluation.case import paired
from longtail.problems.edges.evaluation.settings import Settings
from longtail.sources.quoting import shown


def evaluate_folders(
    predictions: Path, ground_truth: Path, output: Path, settings: Settings, *, processes: int | None, as_json: bool
) -> str:
    """Evaluate every map of a folder and return the figures as text or JSON.

    Raises DataError if the output exists, the folders have not the same images, a file cannot be read, or the extra
    `torch` is missing.
    """
    try:
        from longtail.problems.edges.evaluation.evaluation import evaluate
    except ImportError as error:
        raise DataError(f"edges needs the package {error.name}: install longtail with its extra `torch`") from error
    from longtail.problems.edges.evaluation import results

    if output.exists() or output.is_symlink():
        raise DataError(f"{shown(output)} exists; name a folder that does not")
    cases = paired(predictions, ground_truth)
    try:
        with written_whole({"output": output}, [predictions, ground_truth]) as partial:
            work = work_directory(output, fingerprint(settings, predictions, ground_truth))
            evaluation = evaluate(cases, settings, work=work, processes=processes)
            results.write_results(evaluation, predictions.resolve().name, partial["output"])
        succeed([output])
    finally:
        release()
    return json.dumps(results.as_json(evaluation), indent=1) if as_json else results.as_text(evaluation)
