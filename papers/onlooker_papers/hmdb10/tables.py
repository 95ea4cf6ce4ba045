"""The table of the HMDB-51 report, from the figures of its results file."""

from onlooker.evaluation.report import Table
from onlooker_papers.digits.tables import Results, share

NAME = "hmdb10"


def report(results: Results) -> Table:
    """Accuracy of frames and clips by data set, with the published figure where it belongs."""
    rows: list[list[str | None]] = []
    notes = []
    for name, of in results[NAME].items():
        if published := of.get("published_frame_accuracy"):
            rows.append([name, "published (Teja & Akunuri 2020)", share(published), None])
        rows += [[name, f"`{m}`", share(of["frame_accuracy"][m]), share(of["accuracy"][m])] for m in of["accuracy"]]
        rows.append([name, "majority class", *[share(of["majority_share"])] * 2])
        split = ", ".join(f"{count} {name}" for name, count in of["sides"].items())
        notes.append(f"{name}: {of['encoder']}; {of['frames']} frames per clip, {of['epochs']} epochs; clips: {split}.")
    return Table(["set", "model", "frames correct, %", "clips correct, %"], rows, " ".join(notes))


TABLES = {NAME: report}
NEEDED: dict[str, set[str]] = {}
