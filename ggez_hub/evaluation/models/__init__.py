"""Models under test: one Protocol, and a module for each way in which models are asked.

    base         what a model under test is         opening      which one a folder holds
    similarity   models of embeddings               embedders    their libraries
    generating   models that write                  seeing       those of transformers
    served       models behind an endpoint
    drawing      models that draw                   pipelines    those of diffusers
    free         answers without options
    judging      who decides what is to be seen
    loading      with or without an adapter
    averaging    the mean of two models' embeddings
    live         weights in memory at any beta      moving       a grid of them

Importing a module loads no torch; opening a model does.
"""

from ggez_hub.evaluation.models.backend import grid_on, model_in
from ggez_hub.evaluation.models.model_under_test import LoadedModel, ModelUnderTest
from ggez_hub.evaluation.models.similarity import averaged
from ggez_hub.evaluation.models.weight_swap import Adapted

__all__ = ["Adapted", "LoadedModel", "ModelUnderTest", "averaged", "grid_on", "model_in"]
