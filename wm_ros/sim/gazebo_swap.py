# SPDX-License-Identifier: Apache-2.0
"""Puts another room in place of the one in a running Gazebo, through Gazebo's own services."""
from __future__ import annotations

import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wm_ros.errors import UserError
from wm_ros.sim.sdf_emitter import VERSION

KEPT = ("scene_camera",)  # the robot's description says where it is
SETTLE = 0.5  # s until models that were removed are gone
TIMEOUT = 10.0  # s for one call
Call = Callable[[str, str, str], None]


def models(world: Path) -> dict[str, ET.Element]:
    """The models of a world file that belong to the room, by name."""
    return {model.get("name", ""): model for model in ET.parse(world).getroot().iter("model")
            if model.get("name") not in KEPT}


def swap(room: str, old: Path, new: Path, call: Call | None = None) -> None:
    """Remove the models of one world and create those of another.

    :param room: the world's name
    :param old: folder of the world that Gazebo has
    :param new: folder of the one that it gets; a file for each model is written there
    :raises UserError: when Gazebo does not answer, or refuses
    """
    call = call or gz_call
    folder = new / "models"
    folder.mkdir(exist_ok=True)
    wanted = []
    for name, model in models(new / "world.sdf").items():
        root = ET.Element("sdf", version=VERSION)
        root.append(model)
        file = folder / f"{name}.sdf"
        file.write_text(ET.tostring(root, encoding="unicode"), encoding="utf-8")
        wanted.append(f'data {{ name: "{name}" sdf_filename: "{file.resolve()}" }}')
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: call(f"/world/{room}/remove", "gz.msgs.Entity",
                                        f'name: "{name}" type: MODEL'),
                      models(old / "world.sdf")))
    time.sleep(SETTLE)
    call(f"/world/{room}/create_multiple", "gz.msgs.EntityFactory_V", " ".join(wanted))


def gz_call(service: str, kind: str, request: str) -> None:
    """Call a service of Gazebo's that answers with yes or no.

    :param kind: type of the request
    :param request: the request as protobuf text
    :raises UserError: when it does not answer, or with no
    """
    program = shutil.which("gz")
    if program is None:
        raise UserError("The program gz is not found; source Gazebo's environment first.")
    words = [program, "service", "-s", service, "--reqtype", kind, "--reptype", "gz.msgs.Boolean",
             "--timeout", str(int(1e3 * TIMEOUT)), "--req", request]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT + 10.0)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"Gazebo did not answer on {service}; is it running?") from error
    if "data: true" not in done.stdout:
        said = " ".join((done.stdout + done.stderr).split())[-200:]
        raise UserError(f"Gazebo refused {service} ({said or 'no answer'}); is it running with "
                        "this room?")
