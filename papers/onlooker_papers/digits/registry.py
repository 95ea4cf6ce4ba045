"""The models and encoders that the library does not have; `onlooker.models` finds them by the entry point."""

from onlooker.models.registry import Recipe, register_model
from onlooker_papers.digits.encoders import register_encoders
from onlooker_papers.digits.frame_classifier import FrameClassifier
from onlooker_papers.digits.track_classifier import TrackClassifier

FRAMES, OPINIONS, TRACKS = "frames", "opinions", "tracks"
RECIPES = {
    FRAMES: Recipe("each frame alone, as `convnet`, with a head that may read each glimpse", {"pooled": False},
                   FrameClassifier),
    OPINIONS: Recipe("each frame alone, weighted and multiplied (logarithmic opinion pool)", {"pooled": True},
                     FrameClassifier, loss="last"),
    TRACKS: Recipe("two things before an even background, followed for five frames and read from all of them",
                   {"things": 2}, TrackClassifier, loss="last"),
}  # fmt: skip


def register() -> None:
    """Make `create_model`, `load` and the commands know these models and encoders."""
    register_encoders()
    for name, recipe in RECIPES.items():
        register_model(name, recipe)


register()  # for the code of this paper, which imports this module
