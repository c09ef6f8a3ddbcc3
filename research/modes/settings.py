"""The modes of launch.py and what each can be told."""

from typing import Any

from research.application.settings import Export, Predict, Serve
from research.interpretation.settings import Explain
from research.planning.settings import LearningCurve, Plan

# What to do: its settings, whose flags begin with its name; None where it has none.
MODES: dict[str, Any] = {
    "train": None,
    "evaluate": None,
    "check_gradients": None,
    "plan": Plan(),
    "learning_curve": LearningCurve(),
    "explain": Explain(),
    "export": Export(),
    "predict": Predict(),
    "serve": Serve(),
    "record": None,
}
