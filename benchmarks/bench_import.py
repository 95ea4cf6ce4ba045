"""Import time of onlooker, and `onlooker --help`, in fresh processes, compared with `import
torchvision`.
"""

import subprocess
import sys
from functools import partial
from statistics import median

import harness

WORKLOADS = {
    "onlooker --help": "import sys; sys.argv = ['onlooker', '--help']; from onlooker.cli import main; main()",
    "import onlooker": "import onlooker",
    # seconds of imports, which show nothing about our side
    "import torchvision": harness.size("import torchvision", ""),
    "python alone": "",
}


def run(code: str) -> None:
    """Run code in a fresh interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    arguments = harness.parser(__doc__)
    arguments.add_argument("--repetitions", type=int, default=9)
    options = arguments.parse_args()
    seconds = harness.interleaved(
        {name: partial(run, code) for name, code in WORKLOADS.items()}, options.repetitions
    )
    torchvision = median(seconds["import torchvision"])
    ours = ("onlooker --help", "import onlooker")
    ratios = {name: round(torchvision / median(seconds[name]), 3) for name in ours}
    figures = {
        "ratio": ratios["onlooker --help"],
        "ratios": ratios,
        "seconds": harness.medians(seconds),
    }
    rows = [[name, median(times), torchvision / median(times)] for name, times in seconds.items()]
    harness.show("From a fresh process", ["", "seconds", "torchvision / this"], rows)
    print(harness.record("bench-import", __doc__, figures))


if __name__ == "__main__":
    main()
