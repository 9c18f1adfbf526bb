"""From a full fine-tune to an adapter: a LoRA with what it cannot hold beside it, or Delta."""

from ggez_hub.merging.extraction.lora import Extracted, Extraction, LeftOut, extract_lora
from ggez_hub.merging.extraction.task_vector import extract_task_vector

__all__ = ["Extracted", "Extraction", "LeftOut", "extract_lora", "extract_task_vector"]
