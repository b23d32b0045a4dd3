# SPDX-License-Identifier: Apache-2.0
"""The Gazebo worlds in Gazebo's own physics engine: things lie still, drawers and doors move."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dartpy", reason="dartpy, Gazebo's physics engine, is not installed "
                    "(pip install -r requirements-dev.txt)")

import dart_world  # noqa: E402

from wm_ros.paths import share  # noqa: E402
from wm_ros.sim.randomize import randomize  # noqa: E402
from wm_ros.sim.rooms import load_room  # noqa: E402
from wm_ros.sim.schema import Requirements  # noqa: E402
from wm_ros.sim.sdf_emitter import world_xml  # noqa: E402

# every kind that rolls or is made of stand-ins for a shape that the engine lacks
WORLDS = {
    "home": lambda: (share() / "worlds" / "home.sdf").read_text(),
    "office": lambda: (share() / "worlds" / "office.sdf").read_text(),
    "round": lambda: world_xml(randomize(load_room("home"), 3, "train", Requirements(
        objects=("banana", "lemon", "tomato", "spoon", "orange"), clutter=(2, 2)))),
    "open": lambda: world_xml(randomize(load_room("home"), 8, "train", Requirements(
        objects=("can", "bottle"), furniture=("cabinet",), joints={"door": 0.7},
        clutter=(3, 3)))),
}


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path):
    file = tmp_path / "world.sdf"
    file.write_text(WORLDS[request.param]())
    return dart_world.load(file)


def _bodies(world):
    for i in range(world.getNumSkeletons()):
        skeleton = world.getSkeleton(i)
        for j in range(skeleton.getNumBodyNodes()):
            yield skeleton.getBodyNode(j)


def _advance(world, seconds: float) -> None:
    for _ in range(round(seconds / world.getTimeStep())):
        world.step()


def test_everything_rests_where_the_scene_put_it(world):
    before = {body: body.getWorldTransform() for body in _bodies(world)}
    start = {body: (t.translation().copy(), t.rotation().copy()) for body, t in before.items()}
    _advance(world, 5.0)
    for body, (position, rotation) in start.items():
        after = body.getWorldTransform()
        moved = np.linalg.norm(after.translation() - position)
        turn = np.arccos(np.clip((np.trace(rotation.T @ after.rotation()) - 1) / 2, -1, 1))
        assert moved < 1e-3, f"{body.getName()} moved {1e3 * moved:.2f} mm"
        # a banana rolls onto its tips
        assert turn < np.radians(6.0), f"{body.getName()} turned {np.degrees(turn):.2f} degrees"


def test_drawers_doors_and_buttons_move_within_their_limits_and_stop(world):
    joints = [s.getJoint(j) for i in range(world.getNumSkeletons())
              for s in [world.getSkeleton(i)] for j in range(s.getNumJoints())
              if s.getJoint(j).getNumDofs() == 1]
    assert joints
    for joint in joints:
        low, high = joint.getPositionLowerLimit(0), joint.getPositionUpperLimit(0)
        start = joint.getPosition(0)
        # towards the end that is further away, as hard as a hand pulls
        way = 1.0 if high - start > start - low else -1.0
        end = high if way > 0 else low
        for _ in range(round(4.0 / world.getTimeStep())):
            joint.setForce(0, way * 12.0)
            world.step()
        name = joint.getName()
        assert abs(joint.getPosition(0) - end) < 0.02 * abs(end - start) + 1e-3, name
        _advance(world, 1.0)
        assert abs(joint.getVelocity(0)) < 0.01, f"{name} does not come to rest"
