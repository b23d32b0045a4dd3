# SPDX-License-Identifier: Apache-2.0
"""Pure-Python installation (`pip install .`): the modules and the `wm` command.

With `pip install -r requirements-libraries.txt` beside it, world model, motion, simulation and
training work without ROS. The ROS interfaces are built
by `scripts/bootstrap` (pip-only machines) or `colcon build` (machines with ROS 2), never by pip.
"""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "wm_ros/__init__.py").read_text())
DATA = ("config", "launch", "worlds", "checkpoints")
KEPT = {"__pycache__", "cache", "initial"}  # by training, to resume,
STATES = ("*state.safetensors", "foresight-*.safetensors")  # and of its stages
assert VERSION


def data_files() -> list[tuple[str, list[str]]]:
    """Every file under the data folders, with the folder it is installed into."""
    folders: dict[str, list[str]] = {"share/wm_ros": ["package.xml"]}
    for top in DATA:
        for file in sorted((ROOT / top).rglob("*")):
            if (file.is_file() and not KEPT & set(file.parts)
                    and not any(map(file.match, STATES))):
                path = file.relative_to(ROOT)
                folders.setdefault(f"share/wm_ros/{path.parent}", []).append(str(path))
    return list(folders.items())


setup(
    name="wm_ros",
    version=VERSION.group(1),
    description="A general world model for robot arms over ROS 2 and MoveIt",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["wm_ros", "wm_ros.*"]),
    package_data={"wm_ros": ["py.typed"]},
    data_files=data_files(),
    install_requires=["numpy>=1.26,<2.3", "PyYAML"],
    entry_points={"console_scripts": ["wm = wm_ros.cli:main"]},
)
