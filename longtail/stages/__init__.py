"""The pipelines' steps, one file each, in the order in which they run."""

# Either makes the packed dataset: `ingest` from a source of images, `fetch` from a DVC remote.
DATA_STAGES = ("ingest", "fetch")
STAGES = (*DATA_STAGES, "split", "start", "features", "fit", "cluster", "quintuplets", "train", "index", "evaluate")
# What a pipeline has behind them whose classes are those of edges: from models to maps of photographs and their scores.
EDGE_STAGES = ("detect", "score")
# Those that params.yaml has several of, by name, each with a section of its own: stage → the section that holds them.
NAMED = {"features": "features", "fit": "fits"}
# Those that torchrun may start as several processes, which train together.
PARALLEL = ("fit", "train")
# What each of `rounds` does; without any, nothing is asked of their parameters.
IN_ROUNDS = ("cluster", "quintuplets", "train")
