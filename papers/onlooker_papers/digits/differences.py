"""What the paper says, what the authors' code does, what is done here, and the measured effect."""

from statistics import mean

from onlooker.evaluation.report import Table
from onlooker_papers.digits.pretraining import PUBLISHED as SINGLE_DIGITS
from onlooker_papers.digits.published import CODE, PIXELS, PUBLISHED, PUBLISHED_READING, SLIDES, SMOOTH, TEXT
from onlooker_papers.tables import Results


def differences(results: Results) -> Table:
    """One row for each setting; figures are those of LeNet on `normal` unless stated otherwise."""
    cells, held_out = results["digits-paper"]["cells"], results["digits-honest"]["models"]
    trained, single = results["pretraining"], cells["normal"]["lenet"]

    def of(kind: str, variant: str = "normal", reading: str = PUBLISHED_READING, encoder: str = "lenet") -> str:
        found = cells.get(variant, {}).get(encoder, {}).get(kind, {}).get(reading)
        return f"{found['loss']:.2f} · {100 * found['accuracy']:.1f}" if found else "not measured"

    def passes(encoder: str) -> str:
        row = trained.get(encoder, {}).get("published")
        return f"`{encoder}` {row['passes']:g} ({100 * row['accuracy']:.1f} %)" if row else f"`{encoder}` none"

    def on_unseen(name: str) -> str:
        row = held_out["normal"].get(name)
        return f"{100 * row['accuracy']:.1f} %" if row else "not measured"

    def window(size: int) -> str:
        row = trained.get(f"stn-{size}", {}).get("one-cycle")
        return f"{size} × {size}: {100 * row['accuracy']:.1f} %" if row else f"{size} × {size}: not measured"

    of_hands = results["digits-honest"].get("hands", {})
    accuracies = [f"{100 * of_hands[f'{e}-lstm-two-stage']['accuracy']:.1f} % (`{e}`)" for e in SINGLE_DIGITS
                  if f"{e}-lstm-two-stage" in of_hands]  # fmt: skip
    counts = single["rounds"]
    pairs = [(SLIDES[v][e], PUBLISHED[v][e]) for v in SLIDES for e in SLIDES[v]]
    apart = max(abs(slide[0] - paper[0]) for slide, paper in pairs), mean(abs(s[1] - p[1]) for s, p in pairs)
    rows = [
        ["test videos", "100 others", "features named by class: the training videos", "four readings",
         f"{of(CODE)} on them, {of(CODE, reading='new')} on new ones"],
        ["LSTM cell", "zero bias", "Keras 2.0: forget bias 1, hard sigmoid", "both",
         f"{of(CODE)} (code), {of(TEXT)} (text)"],
        ["softmax", "classify each frame", "one for all 50 × 8 outputs", "both",
         f"{of(TEXT)} (one), {of('lstm-frames')} (each frame)"],
        ["RMSprop", "1e-3", "Keras 2.0: ε 1e-8 outside the root", "as the code", "not measured separately"],
        ["rounds", "300", "300, each with its own orders of the videos", f"{counts[CODE]}, the same",
         f"standard deviation of a round: {100 * single[CODE][PUBLISHED_READING]['accuracy_spread']:.1f} points"],
        ["encoders", "Adadelta, 5 epochs", "batch 32, 60,000 digits, the last weights", "the same recipe",
         "epochs: " + ", ".join(map(passes, SINGLE_DIGITS))],
        ["Table I", "the poster's figures", "–", "both tables, and the distance from each",
         f"slides differ by up to {apart[0]:.2f} in loss, {100 * apart[1]:.1f} points on average"],
        ["other models", "–", "GRU(32), one linear layer of 256, 3-D convolutions", "as the code",
         f"{of('gru')} (GRU), {of('mlp')} (MLP), {of('conv3d', encoder=PIXELS)} (3-D, on pixels)"],
        ["`gesture`", "in Table I, LeNet's figures printed twice", "no such option", "as the text", "–"],
        ["elastic deformation", "σ 10, 7 × 7, α 300; a smooth figure", "–", "both windows, 7 and 61",
         f"{of(CODE, 'gesture')} (7), {of(CODE, SMOOTH)} (61)"],
        ["output of the spatial transformer", "32 × 32; the best size is left open (II-A)", "32 × 32",
         "32 × 32; `stn-8`, `stn-16`, `stn-32` compared", f"single digits, short training: "
         f"{', '.join(map(window, (8, 16, 32)))}"],
        ["deformable convolution", "equation 1b: an offset per tap", "an offset per channel",
         "`dcn` per channel, `dcn:tap`", "102,483,280 parameters only per channel"],
        ["enlarging of digits", "64 × 64", "Lanczos (PIL)", "bilinear", "not measured"],
        ["unseen digits and paths", "–", "–", "LSTM(128) with AdamW at every frame, and the literal system",
         f"{on_unseen('lenet-lstm-two-stage')} and {on_unseen('lenet-literal')} of pairs"],
        ["hands", "carry over to articulated objects: claimed, no figure", "–",
         "17 classes of gestures, frozen encoders, LSTM(128)", ", ".join(accuracies) or "not measured"],
    ]  # fmt: skip
    note = "Loss · accuracy in % of LeNet on `normal`, on the training videos unless stated otherwise."
    return Table(["setting", "paper", "authors' code", "here", "measured"], rows, note)
