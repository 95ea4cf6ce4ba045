"""What onlooker depends on: hashes of the exact set, licenses, and a bill of materials, from what is installed.

python tools/dependencies.py hashes | licenses | sbom
"""

import ctypes
import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS, HASHES = ROOT / "constraints.txt", ROOT / "requirements-hashes.txt"
LICENSES, SBOM = ROOT / "docs" / "licenses.md", ROOT / "docs" / "sbom.cdx.json"
PYTHONS = ("3.11", "3.12", "3.13")
NOT_STATED = "not stated"
MARK = "<!-- made by `make licenses` -->\n"

# What wheels carry besides their own code, by the start of the file's name; the libraries' own statements.
_LIBRARIES = {
    "libSvtAv1Enc": "BSD-3-Clause-Clear",
    "libXau": "MIT",
    "libaom": "BSD-2-Clause",
    "libasound": "LGPL-2.1-or-later",
    "libav": "LGPL, see above",
    "libavif": "BSD-2-Clause",
    "libbrotli": "MIT",
    "libcrypto": "OpenSSL",
    "libcudart": "LicenseRef-NVIDIA-Proprietary",
    "libdav1d": "BSD-2-Clause",
    "libdrm": "MIT",
    "libfreetype": "FTL OR GPL-2.0-or-later",
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgmp": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libgnutls": "LGPL-2.1-or-later",
    "libgomp": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libharfbuzz": "MIT-Modern-Variant",
    "libhogweed": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libjpeg": "IJG AND BSD-3-Clause",
    "liblcms2": "MIT",
    "liblzma": "0BSD",
    "libmp3lame": "LGPL-2.0-or-later",
    "libnettle": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libnvjpeg": "LicenseRef-NVIDIA-Proprietary",
    "libopenblas": "BSD-3-Clause",
    "libopencore": "Apache-2.0",
    "libopenjp2": "BSD-2-Clause",
    "libopus": "BSD-3-Clause",
    "libpng": "libpng-2.0",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libsharpyuv": "BSD-3-Clause",
    "libssl": "OpenSSL",
    "libsw": "LGPL, see above",
    "libtiff": "libtiff",
    "libunistring": "LGPL-3.0-or-later OR GPL-2.0-or-later",
    "libvpl": "MIT",
    "libvpx": "BSD-3-Clause",
    "libwebp": "BSD-3-Clause",
    "libx264": "GPL-2.0-or-later",
    "libx265": "GPL-2.0-or-later",
    "libxcb": "MIT",
    "libz": "Zlib",
    "libzstd": "BSD-3-Clause OR GPL-2.0-only",
}


def normalized(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    """The versions in constraints.txt, by normalized name."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").split()
    return {normalized(name): version for name, _, version in (line.partition("==") for line in lines)}


def hashed() -> dict[str, list[str]]:
    """The hashes in requirements-hashes.txt, by name and version."""
    text = re.sub(r"^#.*\n", "", HASHES.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines()]
    return {name: [each.removeprefix("--hash=sha256:") for each in hashes] for name, *hashes in lines}


@cache
def required(name: str, extra: str = "") -> frozenset[str]:
    """The normalized names of the packages that an installed package needs directly, here and with an extra."""
    needs = [Requirement(text) for text in distribution(name).requires or []]
    needs = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    names = {normalized(need.name) for need in needs}
    return frozenset(names.union(*(required(need.name, extra) for need in needs for extra in need.extras)))


def installed() -> set[str]:
    """The normalized names of all packages that the library, its tests and the papers need."""
    found, new = set[str](), {*required("onlooker", "dev"), *required("onlooker-papers")}
    while new:
        found |= new
        new = {need for name in new for need in required(name)} - found
    return found - {"onlooker"}


def write_hashes() -> None:
    """Write the hashes of the wheels of constraints.txt for Linux on x86-64, as pip finds them in its index."""
    hashes: dict[str, set[str]] = {}
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            options = f"--quiet --dry-run --ignore-installed --only-binary=:all: --python-version {python}".split()
            files = [
                f"--requirement={CONSTRAINTS}",
                f"--constraint={CONSTRAINTS}",
                f"--target={folder}",
                f"--report={report}",
            ]
            subprocess.run([sys.executable, "-m", "pip", "install", *options, *files], check=True)
            for package in json.loads(report.read_text(encoding="utf-8"))["install"]:
                found = package["download_info"]["archive_info"]["hashes"]["sha256"]
                about = package["metadata"]
                hashes.setdefault(f"{normalized(about['name'])}=={about['version']}", set()).add(found)
    lines = [
        "# Made by `make hashes` from constraints.txt: the wheels for Linux on x86-64, Python "
        f"{PYTHONS[0]} to {PYTHONS[-1]}.\n# Installed by `make hashed`.\n"
    ]
    for package, found in sorted(hashes.items()):
        lines.append(" \\\n    ".join([package, *(f"--hash=sha256:{each}" for each in sorted(found))]) + "\n")
    HASHES.write_text("".join(lines), encoding="utf-8")


def license_of(package: Distribution) -> str:
    """What a package states about its license: an SPDX expression, else the field or the classifier."""
    stated = {name: package.metadata.get_all(name) or [""] for name in ("License-Expression", "License", "Classifier")}
    if expression := stated["License-Expression"][0]:
        return expression
    classifiers = [text.rpartition(" :: ")[2] for text in stated["Classifier"] if text.startswith("License")]
    field = stated["License"][0].strip()
    return field if field and len(field) < 40 and "\n" not in field else ", ".join(classifiers) or NOT_STATED


def bundled(package: Distribution) -> Iterator[tuple[str, str, Path]]:
    """The shared libraries that a wheel brings with it: name and version from the file's name, and the file."""
    for file in sorted(package.files or [], key=str):
        if file.parent.name.endswith(".libs"):
            name, _, version = re.sub(r"[-.][0-9a-f]{8}(?=[-.])", "", file.name).partition(".so")
            yield name, version.strip("."), Path(str(package.locate_file(file)))


def license_of_library(name: str) -> str:
    """The license of a bundled library, of the longest start of its name that is known."""
    return next(
        (_LIBRARIES[start] for start in sorted(_LIBRARIES, key=len)[::-1] if name.startswith(start)), NOT_STATED
    )


def ffmpeg(library: Path) -> tuple[str, list[str]]:
    """What a libavcodec says: its license, and the external libraries that it was built with."""
    codecs = ctypes.CDLL(str(library))
    codecs.avcodec_license.restype = codecs.avcodec_configuration.restype = ctypes.c_char_p
    options = codecs.avcodec_configuration().decode().split()
    return codecs.avcodec_license().decode(), [option[9:] for option in options if option.startswith("--enable-lib")]


def packages() -> list[tuple[str, str, Distribution | None]]:
    """Name, pinned version and metadata of each package in constraints.txt."""

    def find(name: str) -> Distribution | None:
        try:
            return distribution(name)
        except PackageNotFoundError:
            return None

    return [(name, version, find(name)) for name, version in sorted(pinned().items())]


def write_licenses() -> None:
    """Write the list of licenses, of packages and of the libraries that their wheels contain, below the text."""
    rows, libraries, codecs = [], [], []
    for name, version, package in packages():
        rows.append(f"| {name} | {version} | {license_of(package) if package else NOT_STATED} |\n")
        for library, of, path in bundled(package) if package else ():
            libraries.append(f"| {name} | {library} | {of} | {license_of_library(library)} |\n")
            if library == "libavcodec":
                stated, built_with = ffmpeg(path)
                codecs.append(f"| {name} | FFmpeg's libavcodec {of} | {stated} | {', '.join(built_with)} |\n")
    text = LICENSES.read_text(encoding="utf-8").partition(MARK)[0]
    tables = (
        "## FFmpeg in wheels\n\n| package | library | states | built with |\n|---|---|---|---|\n",
        "## Packages\n\n| package | version | license |\n|---|---|---|\n",
        "## Libraries in wheels for Linux on x86-64\n\n| package | library | version | license |\n|---|---|---|---|\n",
    )
    parts = [head + "".join(table) for head, table in zip(tables, (codecs, rows, libraries), strict=True)]
    LICENSES.write_text("\n".join((text + MARK + "\n", *parts)), encoding="utf-8")


def component(name: str, version: str, package: Distribution | None, hashes: list[str]) -> dict[str, Any]:
    """A package as CycloneDX has it, with the libraries inside."""
    stated = license_of(package) if package else NOT_STATED
    expression = package is not None and "License-Expression" in package.metadata
    licenses = [{"expression": stated}] if expression else [{"license": {"name": stated}}]
    inside = [
        {"type": "library", "name": library, "licenses": [{"license": {"name": license_of_library(library)}}]}
        | ({"version": of} if of else {})
        for library, of, _ in (bundled(package) if package else ())
    ]
    purl = f"pkg:pypi/{name}@{version}"
    found = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes],
        "licenses": [] if stated == NOT_STATED else licenses,
        "components": inside,
    }
    return {key: value for key, value in found.items() if value}


def write_sbom() -> None:
    """Write the bill of materials, CycloneDX 1.6; the same packages give the same file."""
    versions, hashes = pinned(), hashed()
    purls = {name: f"pkg:pypi/{name}@{version}" for name, version in versions.items()}
    needs = {"pkg:pypi/onlooker": required("onlooker"), "pkg:pypi/onlooker-papers": required("onlooker-papers")}
    needs |= {purls[name]: required(name) for name, _, package in packages() if package}
    content = {
        "metadata": {"component": {"type": "library", "bom-ref": "pkg:pypi/onlooker", "name": "onlooker"}},
        "components": [
            component(name, version, package, hashes.get(f"{name}=={version}", []))
            for name, version, package in packages()
        ],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(purls[name] for name in names if name in purls)}
            for ref, names in needs.items()
            if ref != "pkg:pypi/onlooker-papers"
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    SBOM.write_text(json.dumps({**head, **content}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    {"hashes": write_hashes, "licenses": write_licenses, "sbom": write_sbom}[sys.argv[1]]()
