"""Tables of the benchmarks for docs/."""

from onlooker.report.page import Table
from onlooker_papers.tables import (
    Columns,
    Entry,
    Results,
    build,
    code,
    fixed,
    key,
    rows,
    table,
)


@table("live-page", "bench-live-page")
def live_page(results: Results) -> Table:
    """The camera in the page, and behind pages of other libraries."""
    figures = results["bench-live-page"]
    versions = figures.get("versions", {})
    columns: Columns = {
        "page": key(0, lambda name: " ".join(filter(None, (name, versions.get(name))))),
        "answers per second": ("answers_per_second", fixed(0)),
        "delay in ms": ("delay_ms", fixed(0)),
    }
    pages = [entry for entry in rows(figures, "*") if entry.key != ("versions",)]
    return build(pages, columns, note="`PEERS=python python benchmarks/bench_live_page.py`")


@table("browser", "bench-browser")
def browser(results: Results) -> Table:
    """The exported step in a browser."""
    figures = results["bench-browser"]
    made = [
        [f"Chromium, {figures['runtime'].replace('@', ' ')}", figures["milliseconds"]],
        ["onnxruntime in Python", figures["milliseconds_python"]],
    ]
    note = (
        "A frame on one thread: encoder `small` and `convalstm` with 32 channels, 112×112 pixels. "
        "`python benchmarks/bench_browser.py`"
    )
    return Table(["step", "ms"], made, note)


@table("live-models", "bench-live")
def live_models(results: Results) -> Table:
    """Our models live, and others, on one core."""
    figures = results["bench-live"]
    columns: Columns = {
        "model": key(0, code),
        "PyTorch": ("torch", fixed(1)),
        "ONNX Runtime": ("onnxruntime", fixed(1)),
        "encoder alone": ("encoder", fixed(1)),
        "million parameters": ("parameters", fixed(1, 1e-6)),
        "MB of weights": ("weights_megabytes", fixed(1)),
        "MB of memory": ("megabytes", fixed(0)),
        "MB of state": ("state_megabytes", fixed(2)),
    }
    note = (
        "A frame in ms of CPU time, on one thread, in float32. `onlooker`: the model as `watch` runs it, with `lite0` "
        "at 224 pixels and pictures alone unless another is named, `small` at 112. Other models: steps of "
        f"{figures['pixels']} pixels, and *at 112*. `python benchmarks/bench_live.py`"
    )
    entries = (
        Entry((name,), {**of, **figures["sizes"][name]})
        for name, of in figures["milliseconds"].items()
    )
    return build(entries, columns, note=note)


@table("lite0", "bench-lite0")
def lite0(results: Results) -> Table:
    """Maps and sizes of EfficientNet-Lite, next to `small`."""
    maps = ("last", "fifth and last", "behind the convolution")
    columns: Columns = {
        "encoder": key(0),
        "ms a frame": ("ms", fixed(1)),
        **{name: (f"maps/{name}/log_loss", fixed(2)) for name in maps},
    }
    note = (
        "Log loss with the maps of these layers: training clips of J-HMDB, split 1, cross-validated. "
        "`python benchmarks/bench_lite0.py`"
    )
    return build(rows(results["bench-lite0"], "*"), columns, note=note)


@table("encode", "bench-encode")
def encode(results: Results) -> Table:
    """The frozen encoders on one thread, by what runs them."""
    ways = {
        "PyTorch": "PyTorch",
        "… batch norm folded": "batch norm folded",
        "ONNX Runtime": "onlooker",
        "OpenVINO": "OpenVINO",
        "a matrix product": "matrix product",
    }
    columns: Columns = {
        "encoder": key(0),
        **{title: (f"ms/{name}", fixed(1)) for title, name in ways.items()},
    }
    note = (
        "A frame in ms of CPU time. `lite0` at 224 pixels, `small` at 112. The last column: as many multiply-adds in a "
        "product of two matrices. `python benchmarks/bench_encode.py`"
    )
    return build(rows(results["bench-encode"]["encoders"], "*"), columns, note=note)
