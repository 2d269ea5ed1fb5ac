"""How a trained model answers: nearest neighbours, class means, the head."""
