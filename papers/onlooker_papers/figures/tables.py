"""The tables of stick figures."""

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, build, key, rows, share, table
from onlooker_papers.videolstm.places import BASELINES

NAME = "stick-figures"
_TIMES = {
    "memory": "the prediction at each frame",
    "attended": "the attended part of each frame, without recurrence",
    "whole": "the whole clip",
}


@table("figure-places", NAME)
def places(results: Results) -> Table:
    """What and where, compared with boxes without attention."""
    found = results[NAME]
    entries = {
        "attention": found,
        "attention, cut in the image": found["in_picture"],
        "Grad-CAM of the same model, cut in the image": found["in_picture"]["grad_cam"],
        **{BASELINES[name]: row for name, row in found["baselines"].items()},
    }
    low, high = found["accuracy_interval"]
    return build(
        rows(entries, "*"),
        {
            "boxes from": key(0, str),
            "CorLoc": ("cor_loc", share),
            "frame-mAP .5": ("frame_map_50", share),
            "video-mAP .2": ("video_map_20", share),
            "video-mAP .5": ("video_map_50", share),
        },
        f"{share(found['accuracy'])} % of {found['videos']} clips of {len(found['budget']['actions'])} actions correct "
        f"(95 %: {share(low)} to {share(high)}; majority class: {share(found['majority_share'])}). The map's peak is "
        f"on the person in {share(found['pointing'])} % of the frames of the event; for a uniform map, in "
        f"{share(found['uniform'])} %. {found['processor_minutes']:.0f} minutes of one core for training.",
    )


@table("figure-times", NAME)
def times(results: Results) -> Table:
    """When."""
    entries = {words: results[NAME]["segments"][name] for name, words in _TIMES.items()}
    columns = {"segment mAP .2": "segment_map_20", ".5": "segment_map_50", ".5 to .95": "segment_map_50_95"}
    return build(
        rows(entries, "*"), {"times by": key(0, str), **{head: (path, share) for head, path in columns.items()}}
    )
