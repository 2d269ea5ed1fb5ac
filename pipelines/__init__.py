"""The Kubeflow pipelines: graphs of components, what each step asks of the cluster, and the ways to run them."""
