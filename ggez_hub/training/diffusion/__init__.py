"""Fine-tuning of text-to-image models: the UNet of a pipeline, on pictures and their captions."""
