"""A small experiment on the embedded digits."""

from typing import Any

OPTIMISATION = {"image_passes": 256, "log_every": 1, "checkpoint_every": 1}
MATRIX: dict[str, Any] = {
    "title": "A few digits",
    "seeds": [0],
    "rounds": 1,
    "baseline": "softmax",
    "base": {
        "cluster_size": 50,
        "network": {"embedding": 8},
        "ingest": {"source": {"kind": "digits"}, "image_shape": [28, 28, 1]},
        "start": {"optimisation": OPTIMISATION},
        "quintuplets": {"pool_per_class": 4},
        "train": {"optimisation": OPTIMISATION},
        "fit": {"optimisation": {**OPTIMISATION, "image_passes": 512}},
    },
    "settings": {"0 %": {}, "40 %": {"split": {"imbalance": {"kind": "gaussian", "removed": 0.4}}}},
    "methods": {
        "softmax": {
            "rounds": 0,
            "classifiers": ["head", "cluster_wise"],
            "change": {"start": {"optimisation": {"image_passes": 512}}},
        },
        "joint": {"classifiers": ["head", "head_and_knn"], "change": {"train": {"method": {"kind": "joint"}}}},
        "crl": {"trained_by": "fit", "classifiers": ["head"]},
    },
    "paper": {"joint": {"40 %": 70.13}},
}
