"""The model that this process answers with.

``switching`` decides which version that is, ``loaded_model`` loads and checks it, ``rankers`` has a function
for each kind of question, and ``snapshots`` reads the database for them. ``identity`` tells which movies of
the model are the same in the database.
"""

from worker.serving.loaded_model import LoadedModel
from worker.serving.serving import Serving

__all__ = ["LoadedModel", "Serving"]
