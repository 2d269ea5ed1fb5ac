"""The steps as Kubeflow Pipelines components, one file each: thin, nothing installed when they run."""

from components.cluster import cluster
from components.detect import detect
from components.evaluate import evaluate
from components.features import features
from components.fetch import fetch
from components.fit import fit
from components.index import index
from components.quintuplets import quintuplets
from components.quintuplets_part import quintuplets_part
from components.score import score
from components.split import split
from components.start import start
from components.train import train
from components.train_job import train as train_job

__all__ = [
    "cluster",
    "detect",
    "evaluate",
    "features",
    "fetch",
    "fit",
    "index",
    "quintuplets",
    "quintuplets_part",
    "score",
    "split",
    "start",
    "train",
    "train_job",
]
