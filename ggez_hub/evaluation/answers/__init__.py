"""What models answered: outcomes, predictions, scores."""
