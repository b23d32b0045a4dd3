# SPDX-License-Identifier: Apache-2.0
"""Tasks, experts and the environment."""
from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from wm_ros.errors import UserError
from wm_ros.evaluation.expert_rate import run_expert
from wm_ros.evaluation.statistics import wilson
from wm_ros.motion.pose import Pose, top_down
from wm_ros.sim import language
from wm_ros.sim.env import TWIST, Disturbance, TaskEnv, make_scene
from wm_ros.sim.experts.moves import CRUISE, TURN, Action, down, funnel, step, wrap, yaw_of
from wm_ros.sim.experts.pick_place import grasp_of
from wm_ros.sim.tasks import TASKS, task_class, tasks_of
from wm_ros.sim.tasks.base import Judge


def test_both_rooms_have_six_tasks() -> None:
    assert len(tasks_of("home")) >= 6
    assert len(tasks_of("office")) >= 6


@pytest.mark.parametrize("name", TASKS)
def test_every_expert_does_its_task(name: str) -> None:
    assert any(run_expert(name, seed).success for seed in (1, 2))


@pytest.mark.parametrize("name", TASKS)
def test_nothing_counts_as_done_before_it_is_done(name: str) -> None:
    env = TaskEnv(name, 3, render=False)
    for _ in range(5):
        env.step((env.sim.tcp_pose(), 0.08))
        assert not env.success()
    assert env.progress() < 0.9
    env.close()


@pytest.mark.parametrize("name", TASKS)
def test_held_out_instructions_are_never_trained_on(name: str) -> None:
    rng = np.random.default_rng(0)
    trained, held_out = set(), set()
    for seed in range(60):
        trained.add(task_class(name)(seed).instruction(rng))
        held_out.add(task_class(name)(seed, "held_out").instruction(rng, held_out=True))
    assert not trained & held_out
    assert len(trained) >= 8
    assert not any("{" in sentence for sentence in trained | held_out)


def test_two_tasks_never_share_an_instruction_in_one_room() -> None:
    for room in ("home", "office"):
        said: dict[str, str] = {}
        for name in tasks_of(room):
            rng = np.random.default_rng(1)
            for seed in range(60):
                sentence = task_class(name)(seed).instruction(rng)
                assert said.setdefault(sentence, name) == name


def test_an_unknown_task_is_answered_with_the_list_of_tasks() -> None:
    with pytest.raises(UserError, match="put_mug_on_tray"):
        task_class("make_coffee")


def test_the_same_seed_gives_the_same_episode_and_splits_differ() -> None:
    first, again = (make_scene("press_button", 5) for _ in range(2))
    other = make_scene("press_button", 5, "held_out")
    assert first[1] == again[1]
    assert first[0].instruction() == again[0].instruction()
    assert first[1] != other[1]


def test_the_expert_moves_slowly_and_smoothly() -> None:
    tcp = Pose(np.array([0.4, 0.0, 0.3]), down(0.3))
    goal = np.array([0.55, -0.2, 0.03])
    last = np.zeros(3)
    for _ in range(80):
        new = funnel(tcp, goal, -0.5, 0.1)
        moved = new.position - tcp.position
        assert np.linalg.norm(moved) <= CRUISE + 1e-9
        assert abs(wrap(yaw_of(new.quaternion) - yaw_of(tcp.quaternion))) <= TURN + 1e-9
        if np.hypot(*(goal - tcp.position)[:2]) > 0.03:
            assert new.position[2] > goal[2] + 0.05
        last, tcp = moved, new
    assert np.linalg.norm(tcp.position - goal) < 1e-3
    assert np.linalg.norm(last) < 1e-3


def test_a_hand_that_points_down_keeps_its_yaw() -> None:
    for yaw in (-2.0, -0.4, 0.0, 1.3):
        assert abs(yaw_of(down(yaw)) - yaw) < 1e-9
        assert np.allclose(down(yaw), top_down(np.zeros(3), yaw).quaternion)
    stepped = step(Pose(np.zeros(3), down(0.0)), np.zeros(3), 0.05)
    assert 0 < yaw_of(stepped.quaternion) <= 0.05


def test_an_action_out_of_reach_or_not_a_number_moves_nothing_dangerous() -> None:
    env = TaskEnv("press_button", 0, render=False)
    before = env.sim.q.copy()
    env.step((Pose(np.full(3, np.nan), down(0.0)), 0.08))
    assert np.abs(env.sim.q - before).max() < 0.02
    limits = env.robot.position_limits
    for _ in range(10):
        env.step((Pose(np.array([3.0, 0.0, 0.2]), down(0.0)), 0.08))
        assert np.all(env.sim.q > limits[:, 0]) and np.all(env.sim.q < limits[:, 1])
    env.close()


def test_a_disturbed_hand_is_led_back() -> None:
    done = [run_expert("put_mug_on_tray", seed, disturbed=1.0).success for seed in range(3)]
    assert sum(done) >= 2


def test_disturbance_changes_what_is_executed_in_some_episodes_only() -> None:
    action = Action(Pose(np.array([0.4, 0.0, 0.2]), down(0.0)), 0.08)
    changed = []
    for seed in range(40):
        disturb = Disturbance(np.random.default_rng(seed))
        moved = [disturb(action, action.pose).pose.position for _ in range(80)]
        changed.append(not np.allclose(moved, action.pose.position))
        assert np.abs(np.array(moved) - action.pose.position).max() < 0.05
    assert 8 < sum(changed) < 32


def furthest_turn(width: float) -> float:
    furthest = 0.0
    for seed in range(40):
        disturb, pose = Disturbance(np.random.default_rng(seed), 1.0), Pose(
            np.array([0.4, 0.0, 0.2]), down(0.3))
        for _ in range(25):
            pose = disturb(Action(Pose(pose.position, down(0.3)), width), pose).pose
            furthest = max(furthest, abs(yaw_of(pose.quaternion) - 0.3))
    return furthest


def test_only_an_open_hand_is_twisted_far() -> None:
    assert furthest_turn(0.0) < 0.1 < 0.8 * TWIST < furthest_turn(0.08)


def test_a_disturbed_hand_arrives_unturned_over_a_thing_and_is_led_to_it_all_the_same() -> None:
    turns = []
    for seed in range(4):
        env = TaskEnv("put_mug_on_tray", seed, render=False)
        expert, disturb = env.expert(), Disturbance(np.random.default_rng(seed), 1.0)
        while not env.success() and env.steps < env.max_steps:
            grasp, tcp = grasp_of(env.sim, "mug"), env.sim.tcp_pose()
            across = np.hypot(*(grasp.position - tcp.position)[:2])
            if env.sim.gripper_width > 0.06 and across < 0.05:
                turns.append(abs(wrap(grasp.yaw - yaw_of(tcp.quaternion))))
            env.step(disturb(expert.act(), tcp))
        assert env.success()
        env.close()
    assert np.mean(np.array(turns) > 0.35) > 0.15


def test_success_must_last() -> None:
    class Clock:
        time = 0.0

    class Always:
        hold_seconds = 0.3

        def success(self, sim: object) -> bool:
            return True

    clock = Clock()
    judge = Judge(Always(), clock)  # type: ignore[arg-type]
    lasted = []
    for tick in range(5):
        clock.time = 0.1 * tick
        lasted.append(judge.update())
    assert lasted == [False, False, False, True, True]


def test_observations_carry_pictures_depth_and_cameras() -> None:
    env = TaskEnv("put_mug_on_tray", 0)
    obs = env.observe()
    env.close()
    assert obs.scene_rgb.shape == obs.wrist_rgb.shape == (96, 96, 3)
    assert obs.scene_rgb.dtype == np.uint8 and 20 < obs.scene_rgb.mean() < 235
    assert obs.scene_depth.shape == (96, 96) and 0.3 < float(np.median(obs.scene_depth)) < 3.0
    assert obs.scene_K[0, 0] > 0 and obs.q.shape == (7,) and obs.wrench.shape == (6,)


def test_the_environment_needs_neither_torch_nor_ros() -> None:
    code = ("import sys, wm_ros.sim.env; "
            "sys.exit(any(name in sys.modules for name in ('torch', 'rclpy')))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_interval_of_a_rate_contains_it() -> None:
    low, high = wilson(95, 100)
    assert 0.88 < low < 0.95 < high < 0.99


def test_templates_are_filled() -> None:
    rng = np.random.default_rng(0)
    said = {language.paraphrase("press the {color} button", {"color": "red"}, rng)
            for _ in range(50)}
    assert "press the red button" in said and "push the red button" in said
