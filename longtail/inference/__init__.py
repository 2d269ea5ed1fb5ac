"""From images and image files to answers: the command `predict`, what MLflow serves, and ONNX."""
