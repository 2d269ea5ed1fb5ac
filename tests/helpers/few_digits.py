"""A small experiment on the embedded digits."""

from typing import Any

OPTIMISATION = {"image_passes": 256, "log_every": 1, "checkpoint_every": 1}
MATRIX: dict[str, Any] = {
    "title": "A few digits",
    "seeds": [0],
    "baseline": "softmax",
    "base": {
        "cluster_size": 50,
        "network": {"embedding": 8},
        "ingest": {"source": {"kind": "digits"}, "image_shape": [28, 28, 1]},
        "fits": {
            "softmax": {"after": "start", "method": {"kind": "softmax"}, "optimisation": OPTIMISATION},
            "crl": {
                "after": "start",
                "method": {"kind": "class_rectification"},
                "optimisation": {**OPTIMISATION, "image_passes": 512},
            },
        },
        "rounds": {"r1": {"after": "softmax"}},
        "quintuplets": {"pool_per_class": 4},
        "train": {"optimisation": OPTIMISATION},
    },
    "settings": {"0 %": {}, "40 %": {"split": {"imbalance": {"kind": "gaussian", "removed": 0.4}}}},
    "methods": {
        "softmax": {
            "model": "softmax",
            "rules": ["head", "cluster_wise"],
            "change": {"fits": {"softmax": {"optimisation": {"image_passes": 512}}}},
        },
        "joint": {"model": "r1", "rules": ["head", "head_and_knn"], "change": {"train": {"method": {"kind": "joint"}}}},
        "crl": {"model": "crl"},
    },
    "paper": {"joint": {"40 %": 70.13}},
}
