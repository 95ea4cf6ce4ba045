"""The tables of stick figures, from the figures of their results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, share
from onlooker_papers.videolstm.places import BASELINES

NAME, BYSTANDER = "stick-figures", "moving-bystander"
POINTS = {
    "attention": "attention",
    "attention_moving": "attention × motion",
    "grad_cam": "Grad-CAM of the same model",
    "grad_cam_moving": "Grad-CAM × motion",
    "motion": "the largest moving region, without a model",
}
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


def bystander(results: Results) -> Table:
    """Where maps point, if a second person moves."""
    found = results[BYSTANDER]
    rows = [
        [words, *(share(found["maps"][name][who]) for who in ("target", "other"))] for name, words in POINTS.items()
    ]
    rows.append(["any cell", share(found["uniform"]), "–"])
    low, high = min(found["per_seed"]), max(found["per_seed"])
    note = (
        f"In % of the frames of the event. {share(found['accuracy'])} % of {found['videos']} clips of "
        f"{found['classes']} actions correct ({share(low)} to {share(high)} over {len(found['per_seed'])} seeds; "
        f"majority class: {share(found['majority_share'])}). {found['clips']} clips per action, {found['epochs']} "
        f"epochs, at most {found['minutes']:.0f} minutes of one core."
    )
    return Table(["map", "point on the person of the label, %", "only on the other person, %"], rows, note)


TABLES = {"figure-places": places, "figure-times": times, "figure-classes": classes, "figure-bystander": bystander}
NEEDED = {name: {BYSTANDER if name == "figure-bystander" else NAME} for name in TABLES}
