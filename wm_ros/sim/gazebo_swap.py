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
Call = Callable[[str, str, str], bool]


def models(world: Path) -> dict[str, ET.Element]:
    """The models of a world file that belong to the room, by name."""
    return {model.get("name", ""): model for model in ET.parse(world).getroot().iter("model")
            if model.get("name") not in KEPT}


def swap(room: str, old: Path, new: Path, call: Call | None = None,
         served: Callable[[str], bool] | None = None) -> None:
    """Remove the models of one world and create those of another.

    :param room: the world's name
    :param old: folder of the world that Gazebo has
    :param new: folder of the one that it gets; a file for each model is written there
    :raises UserError: when Gazebo does not answer, or refuses
    """
    call, served = call or gz_call, served or gz_served
    folder = new / "models"
    folder.mkdir(exist_ok=True)
    wanted = []
    for name, model in models(new / "world.sdf").items():
        root = ET.Element("sdf", version=VERSION)
        root.append(model)
        file = folder / f"{name}.sdf"
        file.write_text(ET.tostring(root, encoding="unicode"), encoding="utf-8")
        wanted.append(f'data {{ name: "{name}" sdf_filename: "{file.resolve()}" }}')
    remove, create = (_service(f"/world/{room}/{verb}", served)
                      for verb in ("remove", "create_multiple"))
    with ThreadPoolExecutor(4) as pool:
        # a no means that somebody removed it before
        list(pool.map(lambda name: call(remove, "gz.msgs.Entity", f'name: "{name}" type: MODEL'),
                      models(old / "world.sdf")))
    time.sleep(SETTLE)
    if not call(create, "gz.msgs.EntityFactory_V", " ".join(wanted)):
        raise UserError(f"Gazebo refused {create}; its output says why.")


def _service(name: str, served: Callable[[str], bool]) -> str:
    """The service that answers when the work is done; before gz-sim 8.10 one that answers yes
    to all that it is asked."""
    return f"{name}/blocking" if served(f"{name}/blocking") else name


def gz_served(service: str) -> bool:
    """Whether Gazebo has this service."""
    return "Service providers" in _gz(service, "--info").stdout


def gz_call(service: str, kind: str, request: str) -> bool:
    """Call a service of Gazebo's that answers with yes or no.

    :param kind: type of the request
    :param request: the request as protobuf text
    :raises UserError: when it does not answer
    """
    done = _gz(service, "--reqtype", kind, "--reptype", "gz.msgs.Boolean",
               "--timeout", str(int(1e3 * TIMEOUT)), "--req", request)
    if "data: true" in done.stdout:
        return True
    said = " ".join((done.stdout + done.stderr).split())
    if said in ("", "data: false"):  # protobuf does not print what is false
        return False
    raise UserError(f"Gazebo did not do {service} ({said[-200:]}); is it running with this room?")


def _gz(service: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command `gz service`."""
    program = shutil.which("gz")
    if program is None:
        raise UserError("The program gz is not found; source Gazebo's environment first.")
    try:
        return subprocess.run([program, "service", "-s", service, *words], capture_output=True,
                              text=True, timeout=TIMEOUT + 10.0)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"Gazebo did not answer on {service}; is it running?") from error
