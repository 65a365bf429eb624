"""milepost: task-centric foundation-model operations, task by task.

::

    import milepost as mp

    ws = mp.Workspace.create("support")
    ws.add(mp.Task(name="route", labels={"delivery": "", "refund": ""}), examples=dataframe)
    print(ws.improve("route").leaderboard)
    ws.predict("route", ["where is my parcel?"])

Importing it is cheap: what a name needs is imported when the name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milepost.entities.configuration import Configuration
    from milepost.entities.errors import MilepostError
    from milepost.entities.prediction import Predictions
    from milepost.entities.task import DataFiles, InputField, Objective, Task
    from milepost.predictors.exported import load_exported
    from milepost.workspace import Improvement, Workspace

__all__ = [
    "Configuration",
    "DataFiles",
    "Improvement",
    "InputField",
    "MilepostError",
    "Objective",
    "Predictions",
    "Task",
    "Workspace",
    "load_exported",
]

_HOMES = {
    "Configuration": "milepost.entities.configuration",
    "DataFiles": "milepost.entities.task",
    "Improvement": "milepost.workspace",
    "InputField": "milepost.entities.task",
    "MilepostError": "milepost.entities.errors",
    "Objective": "milepost.entities.task",
    "Predictions": "milepost.entities.prediction",
    "Task": "milepost.entities.task",
    "Workspace": "milepost.workspace",
    "load_exported": "milepost.predictors.exported",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'milepost' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
