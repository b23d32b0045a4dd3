# SPDX-License-Identifier: Apache-2.0
"""The Gazebo worlds in Gazebo's own physics engine: things lie still, drawers and doors move."""
from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dartpy", reason="dartpy, Gazebo's physics engine, is not installed "
                    "(pip install -r requirements-dev.txt)")

import dart_world  # noqa: E402
import dartpy as dart  # noqa: E402

from wm_ros.motion.pose import Pose  # noqa: E402
from wm_ros.paths import share  # noqa: E402
from wm_ros.robot import load_robot  # noqa: E402
from wm_ros.sim import gazebo_config, gazebo_robot  # noqa: E402
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


@pytest.mark.parametrize("things", [("pear", "bottle", "can", "salt_shaker"),
                                    ("cup", "carton", "mug", "bowl")])
def test_what_stands_is_not_upset_by_a_touch(things, tmp_path: Path):
    file = tmp_path / "world.sdf"
    file.write_text(world_xml(randomize(load_room("home"), 3, "train",
                                        Requirements(objects=things, clutter=(0, 0)))))
    world = dart_world.load(file)
    _advance(world, 0.5)
    standing = [b for b in _bodies(world) if b.getName() in things]
    assert {b.getName() for b in standing} == set(things)
    for body in standing:
        free = body.getParentJoint()
        free.setVelocities([0.1, 0.0, 0.0, *[0.0] * 3])  # rad/s, m/s
    _advance(world, 5.0)
    for body in standing:
        upright = body.getWorldTransform().rotation()[2, 2]
        assert upright > np.cos(np.radians(3.0)), f"{body.getName()} has fallen over"


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


def _hand(tilt: float) -> tuple[dart.simulation.World, list[dart.dynamics.Joint]]:
    """A hand that is turned about its x axis, with fingers as Gazebo's URDF of the robot has."""
    robot = load_robot()
    scene = randomize(load_room("home"), 7, "train")
    urdf = ET.fromstring(gazebo_robot.robot_urdf(robot, scene, Path("controllers.yaml")))
    joints = {j.get("name"): j for j in urdf.findall("joint")}
    world = dart.simulation.World()
    world.setTimeStep(0.002)
    skeleton = dart.dynamics.Skeleton("hand")
    mount, hand = skeleton.createWeldJointAndBodyNodePair()
    turn = [np.sin(tilt / 2), 0.0, 0.0, np.cos(tilt / 2)]
    mount.setTransformFromParentBodyNode(dart_world.isometry(Pose.of([0.0] * 3, turn)))
    fingers = [_finger(hand, joints[name]) for name in robot.finger_joints]
    world.addSkeleton(skeleton)
    return world, fingers


def _finger(hand: dart.dynamics.BodyNode, urdf: ET.Element) -> dart.dynamics.Joint:
    joint, body = hand.createPrismaticJointAndBodyNodePair()
    body.setMass(0.015)
    joint.setAxis(np.array([float(v) for v in urdf.find("axis").get("xyz").split()]))
    joint.setDampingCoefficient(0, float(urdf.find("dynamics").get("damping")))
    limit = {name: float(value) for name, value in urdf.find("limit").attrib.items()}
    joint.setPositionLowerLimit(0, limit["lower"])
    joint.setPositionUpperLimit(0, limit["upper"])
    joint.setLimitEnforcement(True)
    joint.setVelocityLowerLimit(0, -limit["velocity"])
    joint.setVelocityUpperLimit(0, limit["velocity"])
    joint.setForceLowerLimit(0, -limit["effort"])
    joint.setForceUpperLimit(0, limit["effort"])
    joint.setActuatorType(dart.dynamics.ActuatorType.SERVO)
    return joint


def _drive(world, fingers, goal: float) -> None:
    """One second of what gz_ros2_control does: a finger follows the goal, the other follows it."""
    rate = gazebo_config.CONTROL_RATE
    gain = gazebo_config.controllers(load_robot())["gz_ros_control"]["ros__parameters"][
        "position_proportional_gain"]
    first, second = fingers
    for _ in range(round(1.0 / world.getTimeStep())):
        first.setCommand(0, gain * rate * (goal - first.getPosition(0)))
        second.setCommand(0, rate * (first.getPosition(0) - second.getPosition(0)))
        world.step()


@pytest.mark.parametrize("degrees", [0.0, 1.0, -20.0])
def test_gripper_closes_and_opens_again_in_a_tilted_hand(degrees):
    world, fingers = _hand(np.radians(degrees))
    fingers[0].setPosition(0, 0.04)
    for goal in (0.04, 0.0, 0.04):
        _drive(world, fingers, goal)
        assert [f.getPosition(0) for f in fingers] == pytest.approx([goal] * 2, abs=5e-4)
