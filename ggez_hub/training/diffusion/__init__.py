"""Fine-tuning of text-to-image models: the denoiser of a pipeline, on pictures and their captions.

pipelines   which of diffusers' pipelines are trained, and what each learns (objectives)
backbones   how each architecture of denoisers is called
latents     pictures and captions, encoded once
denoising   the learner; average: the moving average of its weights
way         what the loop is told of the family; output: the LoRA file
"""
