# SPDX-License-Identifier: Apache-2.0
"""Something moves a thing while the arm works: the model is surprised and the monitor stops it.

With a trained model in place of the scripted one:
``WM_TEST_CHECKPOINT=checkpoints/jepa pytest test/ros/test_unseen_hand.py``.
"""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from std_srvs.srv import Trigger

from wm_ros.bridge import poses, times
from wm_ros.motion.pose import Pose
from wm_ros.msg import Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.clients import call
from wm_ros.nodes.node_list import nodes
from wm_ros.nodes.simulation_hand import TOPIC
from wm_ros.sim.env import make_scene
from wm_ros.sim.randomize import randomize
from wm_ros.sim.rooms import load_room

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]
CHECKPOINT = os.environ.get("WM_TEST_CHECKPOINT", "")
TASK = "open_door" if CHECKPOINT else ""
SEED = 101 if CHECKPOINT else 3
ORDINARY, ENDLESS = (("open the cabinet door", "open the cabinet door") if CHECKPOINT
                     else ("go left", "wander"))
SOON = 8.0  # s, on a busy machine: an image is imagined every second, and compared 0.8 s later
HOLD = 0.5  # s, on a busy machine; a motion of the stand-in takes 1.6 s here


def scene() -> Any:
    """What the simulation node builds for this seed."""
    return (make_scene(TASK, SEED, "held_out")[1] if TASK
            else randomize(load_room("home"), SEED, "held_out"))


def watched(tmp: Path, standin: Any) -> list[Any]:
    """The nodes, with a monitor that stops on surprise."""
    chosen = nodes("home", seed=SEED, task=TASK) if CHECKPOINT else standin(tmp)
    more: dict[str, dict[str, Any]] = {"monitor": {"safety.stop_on_surprise": True}}
    if CHECKPOINT:
        more["imagination"] = {"checkpoint": str(Path(CHECKPOINT).resolve())}
    else:
        more["planning"] = {"horizon": 16}
    return [spec.with_parameters(**more.get(spec.name, {})) for spec in chosen]


class Room:
    """The running system, what surprises its model, and a hand that it does not know of."""

    def __init__(self, system: Any) -> None:
        self.system, self.client = system, system.client
        self.surprises: list[Surprise] = []
        self._hand = self.client.create_publisher(TransformStamped, TOPIC, qos.EVENT)
        self._resume = self.client.create_client(Trigger, "/wm/resume")
        self.client.create_subscription(Surprise, "/wm/surprise", self.surprises.append, qos.EVENT)

    def move(self, name: str, place: Pose) -> None:
        self._hand.publish(poses.to_transform(place, self.system.robot.base_link, name,
                                              times.stamp(time.time())))

    def resume(self) -> None:
        assert call(self._resume, Trigger.Request(), self.client.stop_flag, 5.0).success


@pytest.fixture(scope="module")
def room(ros: None, start_system: Any, standin_specs: Any,
         tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    tmp = tmp_path_factory.mktemp("watched")
    with start_system(watched(tmp, standin_specs), tmp) as system:
        yield Room(system)


def free_place(things: list[Any]) -> Pose:
    """The place on the table before the arm that is farthest from all things."""
    taken = np.array([thing.body.pose.position[:2] for thing in things])
    grid = np.stack(np.meshgrid(np.linspace(0.35, 0.6, 11), np.linspace(-0.25, 0.25, 11)),
                    axis=-1).reshape(-1, 2)
    away = np.linalg.norm(grid[:, None] - taken[None], axis=-1).min(axis=1)
    return Pose.of([*grid[away.argmax()], 0.01])


def test_arm_is_not_stopped_while_things_stay_where_they_are(room: Room) -> None:
    room.system.ready()
    for words in (ORDINARY, *([] if CHECKPOINT else ["go right", "go middle"])):
        result = room.system.do(words, 40.0)
        assert CHECKPOINT or result.success, result.message
    assert room.surprises, "nothing was compared with what was imagined"
    assert not room.client.stopped, room.surprises[-1]


def test_arm_is_stopped_when_an_unseen_hand_moves_a_thing(room: Room) -> None:
    room.system.ready()
    things = list(scene().objects)
    biggest = max(things, key=lambda thing: float(np.prod(thing.size)))
    goal = room.system.moving(ENDLESS)
    time.sleep(1.5)  # until something has been imagined
    moved, places = time.time(), [free_place(things), biggest.body.pose]
    count = 0
    while not room.client.stopped:
        late = time.time() - moved
        assert late < SOON, [m.value for m in room.surprises]
        if late >= 1.3 * count:  # a look that falls on the very moment sees the new place alone
            room.move(biggest.name, places[count % 2])
            count += 1
        time.sleep(0.005)
    assert room.system.held(time.time()) < HOLD
    result = goal.result(room.client.stop_flag, 5.0, "no result")[1]
    assert not result.success and "stopped" in result.message
    again = room.system.do(ORDINARY)
    assert not again.success and "resume" in again.message, "only a person lets it go on"
    room.resume()
    room.system.ready()
    if not CHECKPOINT:
        assert room.system.do("go left").success


def test_hand_that_names_no_thing_is_answered_with_the_things_there_are(room: Room) -> None:
    said = room.system.supervisor._logs / "simulation.log"
    room.move("elephant", Pose.of([0.4, 0.0, 0.0]))
    limit = time.monotonic() + 10.0
    while "'elephant'" not in said.read_text():
        assert time.monotonic() < limit, said.read_text()
        time.sleep(0.05)
    line = next(x for x in said.read_text().splitlines() if "'elephant'" in x)
    assert all(thing.name in line for thing in scene().objects)
