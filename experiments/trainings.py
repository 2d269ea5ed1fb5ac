"""How the trainings of an experiment are optimised, in a few words: a line each, with the methods that differ."""

from textwrap import fill

from experiments.matrix import Cell, Matrix

WIDTH = 100  # of a line, as in the documents that take it up
Facts = tuple[str, ...]


def trainings_in_words(matrix: Matrix) -> list[str]:
    """A list in Markdown: of each training the optimiser, schedule, first learning rate and length that most methods
    have, and what others have in their place. Trainings of which the same is said share a line.
    """
    cells = matrix.model_copy(update={"seeds": matrix.seeds[:1]}).cells()
    said: dict[str, list[str]] = {}
    for training in dict.fromkeys(name for cell in cells for name in cell.trainings):
        said.setdefault(_line(_variants(training, matrix, cells)), []).append(f"`{training}`")
    lines = [f"- {', '.join(names)}{', each' * (len(names) > 1)}: {line}." for line, names in said.items()]
    return [fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) for line in lines]


def _variants(training: str, matrix: Matrix, cells: list[Cell]) -> dict[Facts, list[str]]:
    """How a training is optimised, and who has it so: a method, or one in a setting where its settings differ."""
    variants: dict[Facts, list[str]] = {}
    for method in matrix.methods:
        own = {cell.setting: _facts(cell, training) for cell in cells if cell.method == method}
        own = {setting: facts for setting, facts in own.items() if facts}
        for setting, facts in own.items():
            name = f"`{method}`" if len(set(own.values())) == 1 else f"`{method}, {setting}`"
            if name not in variants.setdefault(facts, []):
                variants[facts].append(name)
    return variants


def _facts(cell: Cell, training: str) -> Facts:
    """The same number of facts for each training; none for one that does not lead to the cell's model."""
    if training not in cell.trainings:
        return ()
    params = cell.training_params(training)
    how, rounds = params.optimisation, getattr(params, "schedule_rounds", 1)
    over = f" over {rounds} rounds" if rounds > 1 else ""
    length = f"{how.iterations:,} iterations" if how.iterations else f"{how.image_passes:,} image passes"
    return (how.optimiser, f"{how.schedule} schedule{over}", f"learning rate {how.learning_rate:g}", length)


def _line(variants: dict[Facts, list[str]]) -> str:
    usual = max(variants, key=lambda facts: len(variants[facts]))
    others = [
        f"{', '.join(names)}: {', '.join(own for own, common in zip(facts, usual, strict=True) if own != common)}"
        for facts, names in variants.items()
        if facts != usual
    ]
    return "; ".join([", ".join(usual), *others])
