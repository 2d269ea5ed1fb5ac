"""From images to embeddings and class scores."""
