"""A model taught from places: a few labels on the user's own scene, learned in seconds, without torch.

Windows around labeled places are cut from the scene as maps cut them, the model file's own features are taken, and its
linear head is fitted again; statistics in the file stand for what it has learned before. :func:`teach` writes a
complete model file and returns a :class:`TeachingResult`, which says what was gained by cross-validation over places;
:func:`suggest` proposes which places to label.
"""

from swath.teaching.result import TeachingResult
from swath.teaching.suggest import Suggestions, suggest
from swath.teaching.teach import teach

__all__ = ["Suggestions", "TeachingResult", "suggest", "teach"]
