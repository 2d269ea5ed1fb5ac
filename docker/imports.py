"""Import what the steps import, so that its bytecode is written once, when an image is built."""

import importlib.util
import os
import sys

MODULES = (
    *("boto3", "botocore.auth", "faiss", "jinja2", "kfp.dsl", "kfp.dsl.executor_main", "kubernetes.client"),
    *("matplotlib.pyplot", "mlflow", "pandas", "pyarrow.parquet", "rich.progress", "safetensors", "scipy.optimize"),
    *("skimage.feature", "sklearn.cluster", "sklearn.datasets", "sklearn.manifold", "sklearn.metrics"),
    "pytorch_metric_learning.losses",
    *("psutil", "pynvml", "threadpoolctl", "timm", "torch", "torchvision", "typer", "yaml"),
)
os.environ |= {"MPLBACKEND": "agg", "_KFP_RUNTIME": "true"}  # as in a container of the pipeline
sys.dont_write_bytecode = False
for name in MODULES:
    if importlib.util.find_spec(name.partition(".")[0]):
        importlib.import_module(name)
