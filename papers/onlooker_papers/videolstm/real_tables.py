"""The claims of VideoLSTM next to what was measured, and the table of the paper on real video."""

from onlooker.evaluation.report import Table
from onlooker_papers.tables import Results, difference, share, table
from onlooker_papers.videolstm.ablation import FLOW, MOTION, RGB
from onlooker_papers.videolstm.official_budget import (
    BOTH,
    CITED_VIDEO_MAP_20,
    NAMES,
    SETS,
    SINGLE,
    STREAMS,
    VIDEOLSTM,
)
from onlooker_papers.videolstm.tables import TARGET

REAL, CONTROL, WHERE = "videolstm-real", "motion-control", "where-real"
_TITLES = {"jhmdb": "J-HMDB", "ucf101_18": "18 classes of UCF101"}  # split 1 of each, three seeds
_WORD = {"rgb": "RGB", "flow": "flow"}


@table("videolstm-claims", REAL, CONTROL, WHERE, TARGET)
def claims(results: Results) -> Table:
    """The claims of the paper: published, measured here, and the file with the figures."""
    target, control, real = results[TARGET]["models"], results[CONTROL][TARGET], results[REAL]
    cited = SETS["ucf101"].cited

    def step(later: str, earlier: str) -> list[str]:
        return [f"{_TITLES[name]} {difference(real[name]['steps'][f'{later} over {earlier}'])}" for name in _TITLES]

    def published(of: str, later: int, earlier: int) -> str:
        return f"UCF101, {_WORD[of]}: {cited[of][later] - cited[of][earlier]:+.1f}"

    found = [
        ("motion tells where to look", "no figure",
         [f"{name} {share(target[name]['accuracy'])} %" for name in (MOTION.name, RGB.name, FLOW.name)], TARGET),
        ("motion attention is better than having the flow", "not compared",
         [f"over `{name}` {difference(of)}" for name, of in control["gain"].items()], CONTROL),
        ("attention: ALSTM over LSTM", "; ".join(published(of, 2, 1) for of in STREAMS),
         [f"{_WORD[of]}: {'; '.join(step(f'alstm-{of}', f'lstm-{of}'))}" for of in STREAMS], REAL),
        ("a state of maps: ConvLSTM over ALSTM", "; ".join(published(of, 3, 2) for of in STREAMS),
         [f"{_WORD[of]}: {'; '.join(step(f'convlstm-{of}', f'alstm-{of}'))}" for of in STREAMS],
         REAL),
        ("attention as a map: ConvALSTM over ConvLSTM", "; ".join(published(of, 4, 3) for of in STREAMS),
         [f"{_WORD[of]}: {'; '.join(step(f'convalstm-{of}', f'convlstm-{of}'))}" for of in STREAMS], REAL),
        ("motion attention over ConvALSTM on RGB", "an improvement", step(MOTION.name, "convalstm-rgb"), REAL),
        ("two streams over one", f"UCF101 {SETS['ucf101'].cited_together} %, HMDB-51 {SETS['hmdb51'].cited_together} %",
         step(BOTH, MOTION.name), REAL),
        ("boxes from class labels alone, video-mAP .2", f"UCF101-24: {CITED_VIDEO_MAP_20[VIDEOLSTM]}",
         [f"five classes of UCF101, by the default command: {share(results[WHERE]['video_map_20'])}; moving target, "
          f"at .5: {share(results[TARGET]['video_map_50'])}"], WHERE),
    ]  # fmt: skip
    made = [[claim, paper, "; ".join(ours), f"[{file}](../results/{file}.json)"] for claim, paper, ours, file in found]
    note = (
        "Differences in points of accuracy, with 95 % intervals over seeds (moving target) or recordings (split 1 of "
        "the real sets, three seeds). Published: Li et al. 2016, split 1, as commonly cited."
    )
    return Table(["claim", "published", "ours", "where"], made, note)


@table("real-ablation", REAL)
def ablation(results: Results) -> Table:
    """The ablation in the form of the paper's table: a row per set and input, the published rows first."""
    empty = [None] * len(SINGLE)
    cited = [(f"UCF101, {_WORD[of]}: published", values) for of, values in SETS["ucf101"].cited.items()]
    made: list[list[str | None]] = [[words, *map(str, values), None, None] for words, values in cited]
    made += [[f"{of.published.title}, both: published", *empty, None, str(of.cited_together)] for of in SETS.values()]
    for name in _TITLES:
        of = results[REAL][name]
        single = {stream: [share(of[f"{model}-{stream}"]) for model in SINGLE] for stream in STREAMS}
        made += [[f"{_TITLES[name]}, {_WORD[stream]}", *shares, None, None] for stream, shares in single.items()]
        made.append([f"{_TITLES[name]}, both", *empty, share(of[MOTION.name]), share(of[BOTH])])
    of = results[REAL]["jhmdb"]
    budget = of["budget"]
    note = (
        f"Test clips correct, %, split 1, three seeds. {budget['frames']} frames of {budget['size']} "
        f"pixels, {budget['width']} features per location (encoder `small`, frozen; that of flow trained on the "
        f"split), {budget['units']} LSTM units or {budget['channels']} ConvLSTM channels. Majority class of J-HMDB: "
        f"{share(of['majority'])} %. VideoLSTM: `{BOTH}`. Published: VGG-16 trained on ImageNet and on the set, 101 "
        "and 51 classes, as commonly cited; not comparable with fewer classes."
    )
    return Table(["set, input", *(NAMES[name] for name in SINGLE), "motion", VIDEOLSTM], made, note)
