"""The wheel that the environments of these tests install."""

import subprocess
import sys

import pytest
from environments import PIP, ROOT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    make = [sys.executable, *PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(make, check=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made
