"""The tables of stick figures, made from the results of `onlooker reproduce figures`."""

from collections.abc import Callable

from digit_tables import Results, percent, table

from onlooker_papers.videolstm.places import BASELINES

NAME = "stick-figures"
TIMES = {
    "memory": "the model's answer at each frame",
    "attended": "what is attended at each frame, without a memory",
    "whole": "the whole clip",
}


def places(results: Results) -> str:
    """What and where: the model next to boxes without attention."""
    found = results[NAME]
    columns = ("cor_loc", "frame_map_50", "video_map_20", "video_map_50")
    by = {"attention": found, "attention, cut in the image": found["in_picture"]}
    if "grad_cam" in found["in_picture"]:
        by["Grad-CAM of the same model, cut in the image"] = found["in_picture"]["grad_cam"]
    by |= {BASELINES[name]: of for name, of in found["baselines"].items()}
    rows = [[words, *(percent(of[column]) for column in columns)] for words, of in by.items()]
    low, high = found["accuracy_interval"]
    budget = found["budget"]
    note = (
        f"{percent(found['accuracy'])} % of {found['videos']} clips of {len(budget['actions'])} actions right (95 %: "
        f"{percent(low)} to {percent(high)}; the majority class: {percent(found['majority_share'])}). The map's peak "
        f"is on the person in {percent(found['pointing'])} % of the frames of the event; of an even map, in "
        f"{percent(found['uniform'])} %. {found['processor_minutes']:.0f} minutes of one core for training."
    )
    return table(["boxes by", "CorLoc", "frame-mAP .5", "video-mAP .2", "video-mAP .5"], rows) + f"\n{note}\n"


def times(results: Results) -> str:
    """When."""
    columns = ("segment_map_20", "segment_map_50", "segment_map_50_95")
    rows = [
        [words, *(percent(results[NAME]["segments"][name][column]) for column in columns)]
        for name, words in TIMES.items()
    ]
    return table(["times by", "segment mAP .2", ".5", ".5 to .95"], rows)


def everything(results: Results) -> str:
    """All there is."""
    found = results[NAME]["class_accuracy"]
    by_class = table(
        ["action", "clips correct, %"], [[f"`{name}`", percent(share, 0)] for name, share in found.items()]
    )
    return "\n".join((places(results), times(results), by_class))


TABLES: dict[str, Callable[[Results], str]] = {NAME: everything, "figure-places": places, "figure-times": times}
NEEDED = {name: {NAME} for name in TABLES}
