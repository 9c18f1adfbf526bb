"""Models under test: one Protocol, and a module for each way in which models are asked.

    model_under_test  what one is, before and after it is opened     model_digest  what identifies one
    backend           how the models of a family are opened and asked, as it names it
    weight_swap       weights in memory at any beta
    embedding_model   models of embeddings          similarity   their answers, and the mean of two models
    generative_model  models that write             vision_model     those of transformers
    endpoint_model    models behind an endpoint     drawing_model    models that draw
    judge_model       the judge of drawings

Importing a module loads no torch; opening a model does.
"""

from ggez_hub.evaluation.models.backend import grid_on, model_in
from ggez_hub.evaluation.models.model_under_test import LoadedModel, ModelUnderTest
from ggez_hub.evaluation.models.similarity import averaged
from ggez_hub.evaluation.models.weight_swap import Adapted

__all__ = ["Adapted", "LoadedModel", "ModelUnderTest", "averaged", "grid_on", "model_in"]
