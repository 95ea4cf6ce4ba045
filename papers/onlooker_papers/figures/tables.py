"""The tables of stick figures, from the figures of their results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.digits.tables import Results, share
from onlooker_papers.videolstm.places import BASELINES

NAME = "stick-figures"
TIMES = {
    "memory": "the prediction at each frame",
    "attended": "the attended part of each frame, without recurrence",
    "whole": "the whole clip",
}


def places(results: Results) -> Table:
    """What and where, compared with boxes without attention."""
    found = results[NAME]
    rows = {"attention": found, "attention, cut in the image": found["in_picture"]}
    if "grad_cam" in found["in_picture"]:
        rows["Grad-CAM of the same model, cut in the image"] = found["in_picture"]["grad_cam"]
    rows |= {BASELINES[name]: row for name, row in found["baselines"].items()}
    low, high = found["accuracy_interval"]
    note = (
        f"{share(found['accuracy'])} % of {found['videos']} clips of {len(found['budget']['actions'])} actions correct "
        f"(95 %: {share(low)} to {share(high)}; majority class: {share(found['majority_share'])}). The map's peak is "
        f"on the person in {share(found['pointing'])} % of the frames of the event; for a uniform map, in "
        f"{share(found['uniform'])} %. {found['processor_minutes']:.0f} minutes of one core for training."
    )
    columns = ("cor_loc", "frame_map_50", "video_map_20", "video_map_50")
    cells = [[words, *(share(row[column]) for column in columns)] for words, row in rows.items()]
    return Table(["boxes from", "CorLoc", "frame-mAP .5", "video-mAP .2", "video-mAP .5"], cells, note)


def times(results: Results) -> Table:
    """When."""
    columns = ("segment_map_20", "segment_map_50", "segment_map_50_95")
    of = results[NAME]["segments"]
    rows = [[words, *(share(of[name][column]) for column in columns)] for name, words in TIMES.items()]
    return Table(["times by", "segment mAP .2", ".5", ".5 to .95"], rows)


def classes(results: Results) -> Table:
    """Accuracy by action."""
    rows = [[f"`{name}`", share(value, 0)] for name, value in results[NAME]["class_accuracy"].items()]
    return Table(["action", "clips correct, %"], rows)


TABLES = {"figure-places": places, "figure-times": times, "figure-classes": classes}
NEEDED = {name: {NAME} for name in TABLES}
