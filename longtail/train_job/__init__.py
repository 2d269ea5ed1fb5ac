"""The stage `train` on several machines, as a TrainJob of Kubeflow Trainer that a step of the pipeline follows."""
