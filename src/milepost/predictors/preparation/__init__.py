"""Inputs before they are read: the same steps when fitting and when answering, in every process.

Pure functions from text to text; what a release was made with stands in its manifest.
"""

from milepost.predictors.preparation.preparing import Preparation, pinned, preparation

__all__ = ["Preparation", "pinned", "preparation"]
