# SPDX-License-Identifier: Apache-2.0
"""The simulated arm tracks, grips hold, and furniture moves as furniture does."""

from __future__ import annotations

import numpy as np
import pytest
from hand import above, go, grasp_pose, half_turn, kinematics, simulator

from wm_ros.motion.pose import Pose, distance, top_down
from wm_ros.sim.robot_model import GRIPPER
from wm_ros.sim.shapes import yaw_of


def test_servos_track_a_10_hz_target_within_2_mm():
    sim = simulator("home", 5, clutter=(0, 0))
    go(sim, top_down([0.5, 0.0, 0.25]))
    rad = metres = 0.0
    for step in range(40):
        a = 2 * np.pi * step / 40
        wanted = top_down([0.5 + 0.08 * np.sin(a), 0.12 * (1 - np.cos(a)),
                           0.25 + 0.03 * np.sin(2 * a)], 0.5 * np.sin(a))
        sim.set_arm_target(kinematics().ik(wanted, sim.arm_reference), over=0.1)
        for _ in range(5):
            sim.advance(0.02)
            rad = max(rad, float(np.abs(sim.q - sim.arm_reference).max()))
            here = kinematics().fk(sim.arm_reference)
            metres = max(metres, distance(here, sim.tcp_pose())[0])
    assert rad < 0.01 and metres < 2e-3


def test_a_stream_of_targets_is_followed_without_lag():
    sim = simulator("home", 5, clutter=(0, 0))
    start = sim.q
    for step in range(1, 101):
        sim.set_arm_target(start + 0.004 * step)
        sim.advance(0.01)
    assert np.abs(sim.q - (start + 0.4)).max() < 0.01


def test_references_never_exceed_the_velocity_limits():
    sim = simulator("home", 5, clutter=(0, 0))
    sim.set_arm_target(sim.q + [1.5, 0, 0, 0, 0, 0, 0], over=0.01)
    fastest, last = 0.0, sim.arm_reference
    for _ in range(100):
        sim.advance(0.01)
        fastest = max(fastest, float(np.abs(sim.arm_reference - last).max()) / 0.01)
        last = sim.arm_reference
    assert 0.5 < fastest <= 1.001 * sim.robot.velocity_limits[0]
    with pytest.raises(ValueError):
        sim.set_arm_target([float("nan")] * 7)


def test_the_model_and_the_motion_library_agree_on_the_tcp():
    sim = simulator("home", 5, clutter=(0, 0))
    metres, rad = distance(sim.tcp_pose(), kinematics().fk(sim.q))
    assert metres < 1e-5 and rad < 1e-4


@pytest.mark.parametrize(("room", "kind"), [
    ("home", "mug"), ("home", "sponge"), ("home", "apple"), ("home", "bowl"),
    ("home", "banana"), ("office", "marker"), ("office", "paper_ball"), ("office", "stapler")])
def test_a_grip_holds_while_lifted(room, kind):
    sim = simulator(room, 4, objects=(kind,), clutter=(0, 0))
    pose = grasp_pose(sim, kind)
    go(sim, above(pose, 0.12))
    go(sim, pose)
    assert sim.robot_furniture_contacts() == 0
    sim.set_gripper_target(0.0)
    sim.advance(0.8)
    assert sim.touching("fingers", kind)
    go(sim, above(pose, 0.15))
    hold = sim.tcp_pose().inverse().compose(sim.object_pose(kind))
    force = sim.wrench()[:3]
    sim.advance(2.0)
    metres, _ = distance(hold, sim.tcp_pose().inverse().compose(sim.object_pose(kind)))
    assert metres < 3e-3, "the thing slips out of the hand"
    weight = sim.model.body(kind).subtreemass[0] * 9.81
    assert np.linalg.norm(force) == pytest.approx(weight, rel=0.2, abs=0.1), "wrist wrench"


def test_the_gripper_limits_its_force_and_reports_its_width():
    sim = simulator("office", 4, objects=("stapler",), clutter=(0, 0))
    pose = grasp_pose(sim, "stapler")
    go(sim, above(pose, 0.1))
    go(sim, pose)
    sim.set_gripper_target(0.0, max_effort=15.0)
    sim.advance(0.8)
    assert sim.gripper_width == pytest.approx(0.028, abs=2e-3)
    assert abs(sim.data.actuator(GRIPPER).force[0]) <= 15.01
    sim.set_gripper_target(0.06)
    sim.advance(0.5)
    assert sim.gripper_width == pytest.approx(0.06, abs=2e-3)


@pytest.mark.parametrize("room", ["home", "office"])
def test_the_drawer_is_pulled_stays_and_is_pushed_back_without_touching_its_chest(room):
    sim = simulator(room, 1, furniture=("drawer_unit",), clutter=(0, 0))
    handle = sim.handle_pose("drawer")
    yaw = half_turn(yaw_of(handle.quaternion) + 0.5 * np.pi)
    out = handle.rotation() @ np.array([-1.0, 0.0, 0.0])
    sim.set_gripper_target(0.05)
    contacts = [go(sim, top_down(handle.position + [0, 0, 0.12], yaw)),
                go(sim, top_down(handle.position, yaw)),
                go(sim, top_down(handle.position + 0.16 * out, yaw), 0.15)]
    assert 0.13 < sim.joint_value("drawer") < 0.18
    value = sim.joint_value("drawer")
    go(sim, above(sim.tcp_pose(), 0.12))
    sim.advance(1.0)
    assert sim.joint_value("drawer") == pytest.approx(value, abs=3e-3)
    handle = sim.handle_pose("drawer")
    contacts += [go(sim, top_down(handle.position, yaw)),
                 go(sim, top_down(handle.position - 0.18 * out, yaw), 0.15)]
    assert sim.joint_value("drawer") < 0.01
    assert max(contacts) == 0


def test_the_door_swings_open_and_stays():
    sim = simulator("home", 2, furniture=("cabinet",), clutter=(0, 0))
    handle, hinge = sim.handle_pose("door"), sim.object_pose("door")
    yaw = half_turn(yaw_of(handle.quaternion))
    arm = hinge.inverse().apply(handle.position)
    go(sim, top_down(handle.position + [0, 0, 0.1], yaw))
    contacts = go(sim, top_down(handle.position, yaw))
    sim.set_gripper_target(0.0)
    sim.advance(0.5)
    for angle in np.linspace(0.1, 1.4, 10):
        turned = Pose.of([0, 0, 0], [0, 0, np.sin(-angle / 2), np.cos(angle / 2)]).apply(arm)
        contacts = max(contacts, go(sim, top_down(hinge.apply(turned), yaw), 0.2, 0.0))
    sim.set_gripper_target(0.06)
    sim.advance(0.4)
    go(sim, above(sim.tcp_pose(), 0.1))
    sim.advance(1.0)
    assert sim.joint_value("door") == pytest.approx(1.4, abs=0.1)
    assert contacts == 0


def test_buttons_spring_back():
    sim = simulator("office", 3, furniture=("button_panel",), clutter=(0, 0))
    sim.set_gripper_target(0.0)
    handle = sim.handle_pose("button_green")
    go(sim, top_down(handle.position + [0, 0, 0.06]))
    assert sim.joint_value("button_green") < 1e-3
    go(sim, top_down(handle.position), 0.1)
    assert sim.joint_value("button_green") > 6e-3
    assert sim.wrench()[2] < -1.0, "the hand feels the button"
    go(sim, top_down(handle.position + [0, 0, 0.06]))
    sim.advance(0.3)
    assert sim.joint_value("button_green") < 1e-3


def test_the_switch_has_two_stable_ends_and_lights_the_lamp():
    sim = simulator("office", 3, furniture=("switch",), clutter=(0, 0))
    assert not sim.lamp_on
    dark = sim.render("overview").rgb.astype(float)
    for value, expected in ((-0.1, -0.45), (0.1, 0.45)):
        sim.data.joint("lamp_switch").qpos[0] = value
        sim.advance(1.0)
        assert sim.joint_value("lamp_switch") == pytest.approx(expected, abs=0.02)
    assert sim.lamp_on
    assert np.abs(sim.render("overview").rgb - dark).max() > 20


def test_a_state_can_be_saved_and_continued_exactly():
    sim = simulator("home", 2, objects=("mug", "sponge"), stain=True, clutter=(1, 1))
    sim.hide("stain_03")
    sim.set_arm_target(sim.q + 0.2, over=0.5)
    sim.set_gripper_target(0.03)
    sim.advance(0.2)
    saved = sim.state()
    sim.advance(0.4)
    first = sim.state()
    sim.reset()
    assert sim.stain_left() == 1.0
    sim.set_state(saved)
    assert not sim.visible("stain_03") and sim.visible("stain_04")
    sim.advance(0.4)
    assert np.allclose(sim.state(), first, atol=1e-9)
