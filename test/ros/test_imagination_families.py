# SPDX-License-Identifier: Apache-2.0
"""Families without a policy of their own propose through the imagination node as well."""
from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from moveit_msgs.msg import CollisionObject, PlanningScene
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from wm_ros.action import Imagine
from wm_ros.bridge import chunks, times
from wm_ros.bridge.furniture import stamped
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.msg import Observation as ObservationMsg
from wm_ros.nodes.imagination import ImaginationNode
from wm_ros.robot import load_robot
from wm_ros.srv import Propose

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "world_model"))
from tiny_checkpoint import PHRASES, make_checkpoint, observation  # noqa: E402
from tiny_jepa import make_jepa  # noqa: E402

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def node(ros: None) -> Iterator[Any]:
    made = ImaginationNode()
    told: list[str] = []
    made.on_problem = told.append  # type: ignore[method-assign]

    def configure(**values: str) -> Any:
        made.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        return made.trigger_configure()
    made.try_with, made.told = configure, told
    yield made
    made.stop()
    made.destroy_node()


@pytest.mark.parametrize(("family", "helper"), [("scene3d", "proposer"), ("jepa", "dreamer")])
def test_another_family_helps_one_that_cannot_act_on_words_alone(
        node: Any, tmp_path: Path, family: str, helper: str) -> None:
    tiny = make_checkpoint(tmp_path / "video")
    folder = "scene3d" if family == "scene3d" else str(make_jepa(tmp_path / "jepa"))
    assert node.try_with(checkpoint=folder, **{helper: str(tiny)}) == SUCCESS, node.told
    decision = node._with_model(node._decider.decide, observation(), PHRASES[0])
    assert np.isfinite(decision.chunks.position).all()
    assert node._info.family == family


@pytest.mark.parametrize("family", ["scene3d", "jepa", "video"])
@pytest.mark.parametrize("gripper", [[], [0.02] * 16])
def test_a_callers_chunks_are_imagined_and_nothing_is_proposed(
        node: Any, tmp_path: Path, family: str, gripper: list[float]) -> None:
    """scene3d has no policy and jepa no goal; neither is needed for it."""
    folder = {"scene3d": lambda: "scene3d", "jepa": lambda: make_jepa(tmp_path / "jepa"),
              "video": lambda: make_checkpoint(tmp_path / "video")}[family]()
    assert node.try_with(checkpoint=str(folder)) == SUCCESS, node.told
    seen = replace(observation(), gripper=0.05)
    node._observation, node._model_input = Mock(return_value=ObservationMsg()), lambda _: seen
    node._model.act = Mock(side_effect=AssertionError("nothing is to be proposed"))
    imagine = node._model.imagine = Mock(wraps=node._model.imagine)
    way = [Pose(seen.tcp_position + [0.0, 0.005 * i, 0.0], seen.tcp_quaternion)
           for i in range(16)]
    chunk = chunks.Chunk("mine", 1.1, 1.0, 0.1, way, np.array(gripper), 1.0, np.nan, np.nan)
    message = chunks.to_message(chunk, node.robot.base_link, node.robot.tcp_link)
    result = node._imagine_body(Mock(request=Imagine.Goal(instruction=PHRASES[0],
                                                          chunks=[message])))
    assert result.success and [r.chunk_id for r in result.rollouts] == ["mine"]
    (asked,) = {len(call.args[1].gripper) for call in imagine.call_args_list}
    assert asked == 1
    np.testing.assert_allclose(imagine.call_args.args[1].gripper, gripper[0] if gripper else 0.05)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("words", ["", PHRASES[1]])
def test_without_words_the_instruction_in_force_is_meant(
        node: Any, tmp_path: Path, given: bool, words: str) -> None:
    assert node.try_with(checkpoint=str(make_checkpoint(tmp_path / "video"))) == SUCCESS
    seen = observation()
    node._observation = Mock(return_value=ObservationMsg(instruction=PHRASES[0]))
    node._model_input = lambda _: seen
    imagine = node._model.imagine = Mock(wraps=node._model.imagine)
    way = [Pose(seen.tcp_position, seen.tcp_quaternion)] * 16
    mine = chunks.to_message(chunks.Chunk("mine", 1.1, 1.0, 0.1, way, np.empty(0), 1.0, np.nan,
                                          np.nan), node.robot.base_link, node.robot.tcp_link)
    assert node._imagine_body(Mock(request=Imagine.Goal(
        instruction=words, chunks=[mine] * given))).success
    assert {call.args[2] for call in imagine.call_args_list} == {words or PHRASES[0]}


def test_in_another_room_the_model_begins_anew(node: Any) -> None:
    assert node.try_with(checkpoint="scene3d") == SUCCESS, node.told
    (heard,) = [s.callback for s in node.subscriptions if s.topic_name == "/wm/furniture"]
    rooms: list[str] = []
    node._model.forget = lambda: rooms.append(threading.current_thread().name)

    def told(when: float) -> int:
        scene = PlanningScene()
        scene.world.collision_objects = [CollisionObject(id="table")]
        node._latest, node._foretold = ObservationMsg(), Mock()
        heard(stamped(scene, times.stamp(when)))
        node._with_model(lambda: None)  # what was to be done is done
        assert (node._latest is None) == (node._foretold is None)
        return len(rooms) if node._latest is None else -1
    assert told(0.0) == -1, "who does not say when it was laid out tells of no other one"
    assert [told(5.0), told(5.0), told(6.0), told(4.0)] == [1, -1, 2, 3]
    assert all(name.startswith("model") for name in rooms)


@pytest.mark.parametrize("family", ["scene3d", "video"])
def test_a_callers_rate_is_kept_or_refused(node: Any, tmp_path: Path, family: str) -> None:
    folder = "scene3d" if family == "scene3d" else str(make_checkpoint(tmp_path / "video"))
    assert node.try_with(checkpoint=folder) == SUCCESS, node.told
    seen = observation()
    node._observation, node._model_input = Mock(return_value=ObservationMsg()), lambda _: seen
    way = [Pose(seen.tcp_position, seen.tcp_quaternion)] * 16

    def imagined(*rates: float) -> Any:
        given = [chunks.to_message(chunks.Chunk("mine", 1.1, 1.0, dt, way, np.empty(0), 1.0,
                                                np.nan, np.nan),
                                   node.robot.base_link, node.robot.tcp_link) for dt in rates]
        return node._imagine_body(Mock(request=Imagine.Goal(instruction=PHRASES[0],
                                                            chunks=given)))
    if family == "scene3d":
        after = [t.sec + 1e-9 * t.nanosec for t in imagined(0.05).rollouts[0].times]
        np.testing.assert_allclose(after, [0.4, 0.8], atol=1e-6)
    else:
        with pytest.raises(UserError, match="0.05 s apart"):
            imagined(0.05)
    with pytest.raises(UserError, match="different rates"):
        imagined(0.05, 0.1)


@pytest.mark.parametrize("together", [False, True])
def test_the_nodes_robot_is_the_one_whose_body_the_model_knows(
        node: Any, tmp_path: Path, together: bool) -> None:
    folder = "scene3d"
    if together:
        make_checkpoint(tmp_path / "video")
        (tmp_path / "ensemble").mkdir()
        (tmp_path / "ensemble/config.yaml").write_text(
            "{format: 1, family: ensemble, network: {}, propose: video, geometry: scene3d}")
        folder = str(tmp_path / "ensemble")
    node.robot = load_robot("ur5")
    assert node.try_with(checkpoint=folder) == SUCCESS, node.told
    model = node._model.members["scene3d"] if together else node._model
    assert model.robot is node.robot


def test_a_question_that_is_asked_again_is_answered_once(node: Any) -> None:
    """A slow model would else fall further behind with each answer that somebody waits for."""
    go, work = threading.Event(), []

    def propose(request: Any, response: Any) -> None:
        go.wait(10.0)
        work.append(request.instruction)
        response.message = request.instruction
    node._propose, node._life = propose, "active"
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    asked = [executor.create_task(node._propose_wanted, Propose.Request(instruction=words),
                                  Propose.Response()) for words in ("one", "one", "other")]
    while len(node._asked) < 2:  # tasks run in order: the second one has asked before the other
        executor.spin_once(0.1)
    go.set()
    for answer in asked:
        executor.spin_until_future_complete(answer, timeout_sec=10.0)
    executor.shutdown()
    assert [answer.result().message for answer in asked] == ["one", "one", "other"]
    assert sorted(work) == ["one", "other"] and not node._asked


def test_a_helper_that_the_family_does_not_know_is_said_in_one_sentence(
        node: Any, tmp_path: Path) -> None:
    tiny = str(make_checkpoint(tmp_path / "video"))
    assert node.try_with(checkpoint=tiny, proposer=tiny) == FAILURE
    assert "family video have no option 'proposer'" in node.told[-1]
