"""What is shipped: a wheel, built from the source archive, that works in another folder without the checkout."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from a2d_cli import __version__

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """The standard output of a command that must succeed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "A2D_PROJECT")}
    done = subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def installed(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a2d as installed from the wheel of the source archive, without what it depends on."""
    wheels, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "-q", "--no-input", "--disable-pip-version-check")
    run(*pip, "wheel", sdist, "--no-deps", "--no-build-isolation", "-w", wheels, cwd=wheels)
    (wheel,) = wheels.glob("*.whl")
    assert wheel.name == f"a2d_cli-{__version__}-py3-none-any.whl"
    run(*pip, "install", wheel, "--no-deps", "--no-index", "--target", target, cwd=wheels)
    return target


def test_the_source_archive_carries_what_the_wheel_and_its_tests_need(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", ".ci/run", "tests/test_wheel.py"):
        assert name in names
    sources = [path for folder in ("a2d_cli", "recipes") for path in (ROOT / folder).rglob("*.*")]
    kept = {path.relative_to(ROOT).as_posix() for path in sources if path.suffix in (".py", ".yaml")}
    assert len(kept) > 50
    assert kept <= names


def test_the_wheel_says_what_it_is_under_which_licence_and_gives_the_command(installed: Path):
    (facts,) = installed.glob("a2d_cli-*.dist-info")
    metadata = email.message_from_string((facts / "METADATA").read_text(encoding="utf-8"))
    assert (metadata["Name"], metadata["Version"]) == ("a2d-cli", __version__)
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License"] == "Apache-2.0"
    (licence,) = facts.rglob("LICENSE")
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()
    entry_points = ConfigParser()
    entry_points.read(facts / "entry_points.txt")
    assert dict(entry_points["console_scripts"]) == {"a2d": "a2d_cli.cli:main"}


def test_the_wheel_brings_the_package_and_the_recipes_alone(installed: Path):
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"a2d_cli", "bin"}
    recipes = {path.name for path in (ROOT / "recipes").glob("*.yaml")}
    assert len(recipes) > 7
    assert {path.name for path in (installed / "a2d_cli" / "recipes").glob("*.yaml")} == recipes


def test_the_installed_command_shows_the_recipes_of_the_wheel(installed: Path, tmp_path: Path):
    marked = installed / "a2d_cli" / "recipes" / "demo.yaml"
    text = marked.read_text(encoding="utf-8")
    marked.write_text(f"# Of the wheel.\n{text}", encoding="utf-8")
    try:
        for a2d in ([installed / "bin" / "a2d"], [sys.executable, "-m", "a2d_cli"]):
            shown = run(*a2d, "recipes", "show", "demo", cwd=tmp_path, PYTHONPATH=str(installed))
            assert shown == f"# Of the wheel.\n{text}"
            assert "multi30k-ende" in run(*a2d, "recipes", "list", cwd=tmp_path, PYTHONPATH=str(installed))
    finally:
        marked.write_text(text, encoding="utf-8")
