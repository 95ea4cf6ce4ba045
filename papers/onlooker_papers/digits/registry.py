"""The models and encoders that are not in the library; `onlooker.models` finds them through the
entry point.
"""

from onlooker.models.registry import Recipe, register_model
from onlooker_papers.digits.encoders import register_encoders
from onlooker_papers.digits.track_classifier import TrackClassifier

TRACKS = "tracks"
RECIPES = {
    TRACKS: Recipe(
        "two objects on a uniform background, tracked and classified over five frames",
        {"things": 2},
        TrackClassifier,
        loss="last",
    ),
}


def register() -> None:
    """Register these models and encoders for `create_model`, `load` and the commands."""
    register_encoders()
    for name, recipe in RECIPES.items():
        register_model(name, recipe)


register()  # for the code of this paper, which imports this module
