"""The pipeline's steps, one file each, in the order in which they run."""

STAGES = ("ingest", "split", "start", "cluster", "quintuplets", "train", "index", "evaluate")
