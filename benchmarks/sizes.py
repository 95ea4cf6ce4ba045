"""The size of an installed onlooker without extras: what it needs, PyTorch, and PyTorch's packages
for GPUs.

Run by `make sizes`; fails if all but PyTorch and its packages for GPUs is larger than 1 GB.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import harness
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LIMIT = 1.0  # GB
GPU = re.compile(r"nvidia-|cuda-|triton$")


def needed(
    name: str, extra: str = "", known: dict[str, Distribution] | None = None
) -> dict[str, Distribution]:
    """A package and all that it needs, as far as it is installed."""
    known = {} if known is None else known
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return known
    known[name] = package
    for requirement in map(Requirement, package.requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for each in ("", *requirement.extras):
                if each or canonicalize_name(requirement.name) not in known:
                    needed(canonicalize_name(requirement.name), each, known)
    return known


def gigabytes(package: Distribution) -> float:
    """The size of its files."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e9


def main() -> int:
    harness.parser(__doc__).parse_args()
    sizes = {name: gigabytes(package) for name, package in needed("onlooker").items()}
    gpu = sum(size for name, size in sizes.items() if GPU.match(name))
    rest = sum(sizes.values()) - gpu - sizes["torch"]
    print(
        f"{gpu:5.2f} GB  PyTorch's packages for GPUs (nvidia-*, cuda-*, triton); none in its CPU build"
    )
    print(f"{sizes['torch']:5.2f} GB  PyTorch")
    print(f"{rest:5.2f} GB  onlooker and all else that it needs; at most {LIMIT}")
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size > 0.04 and name != "torch" and not GPU.match(name):
            print(f"           {size:.2f}  {name}")
    return int(rest > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
