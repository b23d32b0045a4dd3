# SPDX-License-Identifier: Apache-2.0
"""Where the package's files lie, in a checkout and in an installation."""
from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

from wm_ros.errors import UserError

PACKAGE = "wm_ros"


def prefixes() -> list[Path]:
    """Installation prefixes to search, nearest first (ament's, then this Python's own)."""
    ament = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    return [*ament, Path(sys.prefix)]


@cache
def share() -> Path:
    """Folder that holds config/, launch/, worlds/ and checkpoints/.

    The repository root in a checkout, else ``<prefix>/share/wm_ros``.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "setup.py").is_file() and (root / "config").is_dir():
        return root
    # beside the library: pip installs for one user, and Debian's for all, elsewhere than Python
    beside = Path(__file__).resolve().parents
    for prefix in (*prefixes(), *beside):
        candidate = prefix / "share" / PACKAGE
        if (candidate / "config").is_dir():
            return candidate
    raise UserError("The data files of wm_ros are not installed; build it with `make setup` or "
                    "`colcon build`, or run it from its checkout.")


def config(*parts: str) -> Path:
    """A file or folder under config/, for example ``config("robots", "panda.yaml")``."""
    return share().joinpath("config", *parts)


def checkpoints() -> Path:
    """Folder of the trained models, one folder each."""
    return share() / "checkpoints"


def _package_roots() -> list[Path]:
    """Folders in which a ROS package's share folder may lie."""
    roots = [Path(p) for p in os.environ.get("WM_ROBOT_DATA", "").split(os.pathsep) if p]
    roots += [prefix / "share" for prefix in prefixes()]
    # pip wheels built with cmeel keep their share folder beside the modules
    roots += [Path(p) / "cmeel.prefix" / "share" for p in sys.path if p]
    return roots


def robot_data(package_url: str) -> Path:
    """Resolve ``package://<package>/<path>`` to a file or folder on this machine.

    Searched: $WM_ROBOT_DATA, the ament prefixes, this Python's prefix, pip's robot packages.

    :param package_url: a ``package://`` URL, or a plain path, which is returned as it is
    :raises UserError: when the package or the file is not there
    """
    if not package_url.startswith("package://"):
        return Path(package_url)
    package, _, rest = package_url.removeprefix("package://").partition("/")
    for root in _package_roots():
        candidate = root / package / rest
        if candidate.exists():
            return candidate
    raise UserError(f"{package_url} was not found; install the package that provides it "
                    f"(pip install {package}) or name its parent folder in WM_ROBOT_DATA.")


def resolved(description: str, folder: Path) -> str:
    """A robot description whose files are found by programs that know neither its packages nor
    where it lies: each as a ``file://`` URL, the only form of a path that all of them read.

    Files that are not on this machine stay as they are written.

    :param folder: of the description, from which plain paths lead on
    """
    def file(found: re.Match[str]) -> str:
        try:
            path = folder / robot_data(found.group())
        except UserError:
            return found.group()
        return path.resolve().as_uri() if path.is_file() else found.group()
    return re.sub(r"package://[^\"'<>\s]+|(?<=filename=[\"'])(?!\w+://)[^\"']+", file, description)


def package_dirs(package_url: str) -> list[Path]:
    """Folders under which the ``package://`` references of a robot description resolve.

    :param package_url: URL of the description itself; its own package's parent folder comes first
    """
    text = robot_data(package_url).read_text(encoding="utf-8")
    named = re.findall(r"package://([^/\"']+)/", f"{package_url} {text}")
    return list(dict.fromkeys(robot_data(f"package://{name}/").parent for name in named))
