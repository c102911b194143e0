"""The model that this process answers with.

``switching`` decides which version that is, ``loaded_model`` loads and checks one, ``rankings`` computes
answers with it, and ``identity`` tells which of its movies are the same in the database.
"""

from worker.serving.loaded_model import LoadedModel
from worker.serving.serving import Serving

__all__ = ["LoadedModel", "Serving"]
