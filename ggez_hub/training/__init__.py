"""Fine-tuning a base to an adapter: a recipe in, an adapter or a full fine-tune with its card out."""
