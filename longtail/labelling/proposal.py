"""`longtail propose`: which class a model sees in each image of a pool, as a queue for people to say yes or no to."""

from pathlib import Path

from longtail.artifacts.digests import artifact_digest, check_artifact
from longtail.artifacts.files import folders
from longtail.artifacts.lineage import PROPOSE, Lineage, extended
from longtail.artifacts.outputs import written_whole
from longtail.errors import DataError
from longtail.inference.answerer import Answerer, TaskAnswerer
from longtail.inference.files import pictures
from longtail.inference.pixels import preprocessing
from longtail.labelling.definitions import read_definitions
from longtail.labelling.order import ordered, seen_twice
from longtail.labelling.origin import Origin, least_probabilities_of, write_exemplars
from longtail.labelling.pool import Found, candidates
from longtail.labelling.queue import LONGEST, Counts, Proposer, QueueClass, QueueInfo, write_queue
from longtail.labelling.settings import LABELLED, Settings
from longtail.labelling.suspects import suspects
from longtail.sources.quoting import listed, shown


class NothingProposedError(DataError):
    """The model is sure of no image."""


def propose(pool: list[Path], index: Path, output: Path, settings: Settings) -> str:
    """Write the queue `output`: what the index `index` proposes for the files and folders of the pool; a sentence.

    By `label_errors` there is no pool: the images are those of the model's own validation subset. Raises DataError if
    anything stands against it, and has then written nothing; files that are no images are passed over, and named on
    stderr.
    """
    _check_places(pool, index, output, settings)
    check_artifact(index)
    answerer = Answerer.load(index)
    task = _task(answerer, settings.task, index)
    classes = read_definitions(settings.definitions, task.task.classes)
    origin = _origin(index, task, settings)
    with written_whole({"queue": output}, [index, *folders(pool)]) as partial:
        folder = partial["queue"]
        (folder / "images").mkdir()
        found = _found(pool, index, answerer, task, origin, folder / "images", settings)
        if not found.items:
            raise NothingProposedError(f"nothing to propose: {_counted(found.counts, settings)}; lower --confidence")
        write_exemplars(folder / "exemplars", origin, task, settings.seed)
        counts = _write(folder, found, task, classes, index, settings)
    exemplars = "" if origin else "; without exemplars, which need --dataset and --split"
    return f"{output}: {counts.items} images to decide on; {_counted(counts, settings)}{exemplars}"


def _write(
    folder: Path, found: Found, task: TaskAnswerer, classes: list[QueueClass], index: Path, settings: Settings
) -> Counts:
    items = ordered(found.items, settings.by, task.task.classes, settings.seed)
    items = seen_twice(items, settings.twice, settings.seed)
    lineage, name = Lineage.read(index), task.task.name
    info = QueueInfo(
        task=name,
        classes=classes,
        by=settings.by,
        confidence=settings.confidence,
        twice=settings.twice,
        seed=settings.seed,
        model=Proposer(digest=artifact_digest(index), made_by=lineage.made_by),
        counts=found.counts.model_copy(update={"twice": sum(item.twice for item in items)}),
    )
    write_queue(folder, info, items)
    extended(PROPOSE, settings.recorded(name), {}, {"index": lineage}, Lineage()).write(folder)
    return info.counts


def _found(
    pool: list[Path],
    index: Path,
    answerer: Answerer,
    task: TaskAnswerer,
    origin: Origin | None,
    images: Path,
    settings: Settings,
) -> Found:
    if settings.by == "label_errors":
        assert origin is not None
        return suspects(origin, index, task, images, settings.confidence)
    blueprint = answerer.embedder.blueprint
    preprocessing(blueprint)
    floors = None
    if settings.by == "prediction_set":
        assert origin is not None
        floors = least_probabilities_of(index, task, origin.split)
    return candidates(pictures(pool, blueprint, keep=True), answerer, task, images, settings.confidence, floors)


def _origin(index: Path, task: TaskAnswerer, settings: Settings) -> Origin | None:
    if settings.dataset is not None and settings.split is not None:
        return Origin.open(settings.dataset, settings.split, index, task.task)
    if settings.by in LABELLED or settings.dataset is not None or settings.split is not None:
        what = f"--by {settings.by} needs" if settings.by in LABELLED else "exemplars need"
        raise DataError(f"{what} the model's packed data set and its split; give both, as --dataset and --split")
    return None


def _check_places(pool: list[Path], index: Path, output: Path, settings: Settings) -> None:
    if not index.is_dir():
        raise DataError(f"there is no index {shown(index, LONGEST)}; `longtail index` makes one of a model")
    if output.exists() or output.is_symlink():
        raise DataError(f"{shown(output, LONGEST)} exists, and may hold decisions; name a directory that does not")
    if settings.by == "label_errors" and pool:
        raise DataError("--by label_errors looks at the model's own validation images; give no pool with it")
    if settings.by != "label_errors" and not pool:
        raise DataError("there is nothing to propose for: give image files, or folders of them")
    if missing := [path for path in pool if not path.exists()]:
        raise DataError(f"there is nothing at {listed(missing)}; give image files, or folders of them")
    for place in (index, *pool):
        if output.resolve().is_relative_to(place.resolve()):
            raise DataError(f"{shown(output, LONGEST)} lies in {shown(place, LONGEST)}; write the queue elsewhere")


def _task(answerer: Answerer, name: str | None, index: Path) -> TaskAnswerer:
    if name is None and len(answerer.tasks) > 1:
        raise DataError(f"{index} has the tasks {listed(answerer.tasks)}; say with --task which classes to propose")
    if name is not None and name not in answerer.tasks:
        raise DataError(f"{index} has no task {shown(name)!r}; it has {listed(answerer.tasks)}")
    return answerer.tasks[name or next(iter(answerer.tasks))]


def _counted(counts: Counts, settings: Settings) -> str:
    unsure = "whose label agrees with the answer, or" if settings.by == "label_errors" else "of"
    return (
        f"of {counts.looked_at} looked at, {counts.unreadable} are no image, {counts.duplicates} are there twice, "
        f"{counts.background} background, and {counts.unsure} {unsure} a probability of at most {settings.confidence:g}"
    )
