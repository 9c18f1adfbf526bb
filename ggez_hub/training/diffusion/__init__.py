"""Fine-tuning of text-to-image models: the denoiser of a pipeline, on pictures and their captions."""
