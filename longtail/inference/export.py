"""`longtail export`: a model as one ONNX file, from uint8 images to classes and probabilities."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longtail.artifacts.digests import check_artifact
from longtail.artifacts.files import written
from longtail.errors import DataError
from longtail.inference.answerer import Answerer
from longtail.inference.graph import Graph
from longtail.network.snapshot import State

TRIED = 8  # random images that the file and the model both answer


def export(index: Path, file: Path) -> str:
    """Write the model of an index directory, whole or not at all; a sentence on what was written.

    Raises DataError if the extra `export` is missing, the index has changed, or the model has no form for ONNX.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DataError(f"export needs the package {error.name}: install longtail with its extra `export`") from error
    check_artifact(index)
    answerer = Answerer.load(index)
    with written(file) as new:
        _write(answerer, State.read(index).rule, new)
        session = onnxruntime.InferenceSession(new, providers=["CPUExecutionProvider"])
        apart = _apart(answerer, session)
    shape = "×".join(map(str, answerer.embedder.image_shape))
    return (
        f"{file}: {file.stat().st_size / 1e6:.1f} MB, takes images, uint8 N×{shape}; on {TRIED} random images its "
        f"probabilities are those of the model within {apart:.1g}"
    )


def _write(answerer: Answerer, rule: str, file: Path) -> None:
    graph = Graph(answerer).eval().cpu()
    outputs = [name for task in graph.names for name in (f"{task}.class", f"{task}.probabilities")]
    images = torch.zeros((2, *answerer.embedder.image_shape), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
        program = torch.onnx.export(
            graph,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        )
    assert program is not None
    program.model.metadata_props.update({key: json.dumps(value) for key, value in _about(answerer, rule).items()})
    program.save(file, external_data=False)


def _about(answerer: Answerer, rule: str) -> dict[str, Any]:
    """What the file says of itself, each as JSON."""
    blueprint = answerer.embedder.blueprint
    return {
        "classes": {name: one.task.classes for name, one in answerer.tasks.items()},
        "rule": rule,
        "preprocessing": blueprint.preprocessing.model_dump(mode="json") if blueprint.preprocessing else None,
        "image_shape": blueprint.image_shape,
    }


def _apart(answerer: Answerer, session: Any) -> float:
    """The greatest difference of a probability on random images."""
    images = np.random.default_rng(0).integers(0, 256, (TRIED, *answerer.embedder.image_shape), dtype=np.uint8)
    own = answerer.answer(images)
    names = [f"{task}.probabilities" for task in own]
    found = session.run(names, {"images": images})
    return max(float(np.abs(one.probabilities - it).max()) for one, it in zip(own.values(), found, strict=True))
