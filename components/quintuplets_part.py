"""A part of the quintuplet table, in a pod of its own. See longtail/stages/quintuplets.py."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model

from components.images import CPU


@dsl.component(base_image=CPU, install_kfp_package=False)
def quintuplets_part(
    split: Input[Dataset],
    model: Input[Model],
    clusters: Input[Artifact],
    params: dict,
    number: int,
    of: int,
) -> None:
    """Part `number`, from 0, of `of` parts of the quintuplet table, left on the work volume."""
    from pathlib import Path

    from longtail.execution import one_sentence
    from longtail.parameters import check_section
    from longtail.quintuplets.table import Part
    from longtail.stages.quintuplets import Params, write_part

    with one_sentence():
        section = check_section("quintuplets", params, Params, "the pipeline's arguments")
        paths = (Path(split.path), Path(model.path), Path(clusters.path))
        write_part(*paths, params=section, part=Part(number, of))
