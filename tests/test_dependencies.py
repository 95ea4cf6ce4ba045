"""The pinned packages are the required ones, and hashes, licenses and bill of materials list the same ones."""

import json

import dependencies
import pytest
from packaging.version import Version


def test_exactly_the_required_packages_are_pinned() -> None:
    needed, pinned = dependencies.installed(), set(dependencies.pinned())
    assert not needed - pinned, "add them to constraints.txt, then make hashes licenses sbom"
    assert not pinned - needed, "remove them from constraints.txt, then make hashes licenses sbom"


def test_every_pinned_version_has_hashes() -> None:
    hashed = dependencies.hashed()
    expected = {f"{name}=={version}" for name, version in dependencies.pinned().items()}
    assert set(hashed) == expected, "make hashes"
    assert all(hashes and all(len(each) == 64 for each in hashes) for hashes in hashed.values())


@pytest.mark.parametrize("file", [dependencies.CONSTRAINTS, dependencies.HASHES])
def test_no_file_names_a_host(file: dependencies.Path) -> None:
    assert not [line for line in file.read_text().splitlines() if "/" in line or line.startswith("-")]


def test_licenses_and_bill_of_materials_list_the_pinned_versions() -> None:
    lines = dependencies.LICENSES.read_text(encoding="utf-8").splitlines()
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    bill = json.loads(dependencies.SBOM.read_text(encoding="utf-8"))
    pinned = dependencies.pinned()
    assert {row[0]: row[1] for row in cells if len(row) == 3 and row[1][:1].isdigit()} == pinned, "make licenses"
    assert {each["name"]: each["version"] for each in bill["components"]} == pinned, "make sbom"


def test_the_bill_of_materials_is_complete() -> None:
    bill = json.loads(dependencies.SBOM.read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    refs = {each["bom-ref"] for each in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {each["ref"] for each in bill["dependencies"]} == refs
    assert all(set(each["dependsOn"]) <= refs for each in bill["dependencies"])
    assert len(refs) == len(bill["components"]) + 1  # each names one component
    assert bill["serialNumber"].startswith("urn:uuid:")
    assert bill["version"] >= 1
    for each in bill["components"]:
        assert each["type"] == "library"
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        assert Version(each["version"])
        assert each["hashes"]
    (pyav,) = [each for each in bill["components"] if each["name"] == "av"]
    licenses = {each["name"]: each["licenses"][0]["license"]["name"] for each in pyav["components"]}
    assert licenses["libx264"] == licenses["libx265"] == "GPL-2.0-or-later"
