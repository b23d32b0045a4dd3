# SPDX-License-Identifier: Apache-2.0
"""The planner: every plan must be free and within limits, every refusal must say why."""

import threading
import time

import numpy as np
import pytest

from wm_ros.motion.benchmark import benchmark, densely_free, table_scene
from wm_ros.motion.errors import ErrorCode
from wm_ros.motion.planner import Planner, Request
from wm_ros.motion.pose import Pose, distance, top_down
from wm_ros.motion.shapes import Box, Cylinder, Mesh, Part, SceneObject, Sphere
from wm_ros.motion.timing import Timing
from wm_ros.motion.trajectory import Trajectory, check_limits, limit_ratios
from wm_ros.robot import load_robot

ROBOT = load_robot("panda")
HOME = np.asarray(ROBOT.home)
LEFT, RIGHT = top_down([0.45, 0.3, 0.15]), top_down([0.45, -0.3, 0.15])


@pytest.fixture()
def planner() -> Planner:
    return Planner(ROBOT)


def wall(planner: Planner) -> None:
    planner.add_object(SceneObject.of("wall", Box((0.3, 0.03, 0.4)), Pose.of([0.5, 0, 0.2])))


def sound(planner: Planner, trajectory: Trajectory) -> bool:
    return not check_limits(trajectory, ROBOT) and densely_free(planner, trajectory.positions)


def tetrahedron(size: float) -> Mesh:
    vertices = size * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]))


def test_200_pose_goals_over_the_table_are_all_solved_free_and_within_limits() -> None:
    result = benchmark(200)["pose_goal"]
    assert result["solved"] == 1.0
    assert result["valid"] == 1.0


def test_the_arm_goes_around_a_wall_and_rests_at_both_ends(planner: Planner) -> None:
    start, goal = planner.ik(LEFT, HOME), planner.ik(RIGHT, HOME)
    wall(planner)
    plan = planner.plan_joint(start, goal)
    assert plan.success and sound(planner, plan.trajectory)
    assert np.allclose(plan.trajectory.positions[0], start, atol=1e-6)
    assert np.allclose(plan.trajectory.end, goal, atol=1e-6)
    assert np.abs(plan.trajectory.velocities[[0, -1]]).max() < 1e-6


def test_scaling_slows_the_arm_down(planner: Planner) -> None:
    goal = planner.ik(LEFT, HOME)
    slow = planner.plan_joint(HOME, goal, Request(0.2, 0.1))
    velocity, acceleration = limit_ratios(slow.trajectory, ROBOT)
    assert velocity <= 0.2 * 1.01 and acceleration <= 0.1 * 1.01
    assert slow.trajectory.duration > 2 * planner.plan_joint(HOME, goal).trajectory.duration


def test_the_tools_speed_can_be_limited(planner: Planner) -> None:
    line = top_down([0.5, 0.1, 0.25])
    for plan in (planner.plan_pose(HOME, LEFT, Request(max_tcp_speed=0.1)),
                 planner.plan_cartesian(HOME, [line], request=Request(max_tcp_speed=0.1))):
        path = plan.trajectory
        moments = np.arange(0.0, path.duration, 0.002)
        points = np.array([planner.fk(path.sample(t)[0]).position for t in moments])
        speed = np.linalg.norm(np.diff(points, axis=0), axis=1) / 0.002
        assert 0.09 < speed.max() < 0.1005


@pytest.mark.parametrize("pose", [top_down([1.2, 0, 0.3]), top_down([0.0, 0.0, -0.5])])
def test_an_unreachable_pose_is_answered_with_no_ik_solution(planner: Planner, pose: Pose) -> None:
    plan = planner.plan_pose(HOME, pose)
    assert plan.error_code is ErrorCode.NO_IK_SOLUTION and len(plan.trajectory) == 0


def test_bad_states_and_goals_get_moveits_codes_and_no_trajectory(planner: Planner) -> None:
    table_scene(planner)
    nan, outside = np.full(7, np.nan), HOME + np.array([0, 0, 0, 3.0, 0, 0, 0])
    inside_box = planner.ik(top_down([0.5, 0.22, 0.2]), HOME)
    cases = [
        (planner.plan_joint(nan, HOME), ErrorCode.INVALID_ROBOT_STATE),
        (planner.plan_joint(outside, HOME), ErrorCode.START_STATE_INVALID),
        (planner.plan_joint(inside_box, HOME), ErrorCode.START_STATE_IN_COLLISION),
        (planner.plan_joint(HOME, nan), ErrorCode.INVALID_GOAL_CONSTRAINTS),
        (planner.plan_joint(HOME, outside), ErrorCode.INVALID_GOAL_CONSTRAINTS),
        (planner.plan_joint(HOME, inside_box), ErrorCode.GOAL_IN_COLLISION),
        (planner.plan_pose(HOME, top_down([0.5, 0.22, 0.2])), ErrorCode.GOAL_IN_COLLISION),
    ]
    for plan, code in cases:
        assert plan.error_code is code and len(plan.trajectory) == 0 and plan.message


def test_a_goal_without_a_way_gives_up_in_the_allowed_time(planner: Planner) -> None:
    goal = planner.ik(top_down([0.45, 0.0, 0.15]), HOME)
    for i, (x, y) in enumerate([(0.28, 0), (0.62, 0), (0.45, 0.16), (0.45, -0.16)]):
        size = (0.02, 0.5, 0.9) if y == 0 else (0.5, 0.02, 0.9)
        pose = Pose.of([x, y, 0.45])
        planner.add_object(SceneObject.of(f"side{i}", Box(size), pose))
    begin = time.perf_counter()
    plan = planner.plan_joint(HOME + np.array([1.5, 0, 0, 0, 0, 0, 0]), goal,
                              Request(allowed_time=0.5))
    assert not plan.success and time.perf_counter() - begin < 3.0


def test_others_have_their_turn_while_a_way_is_searched(
        planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction waits three seconds for a path, however long somebody else's may take."""
    monkeypatch.setattr(planner, "_try_direct", lambda *_: None)
    monkeypatch.setattr(planner, "_try_rrt", lambda *_: time.sleep(0.2))
    search = threading.Thread(target=planner.plan_joint, args=(HOME, HOME + 0.1,
                                                               Request(allowed_time=8.0)))
    search.start()
    for _ in range(3):
        time.sleep(0.05)
        assert planner.plan_cartesian(HOME, [planner.fk(HOME)]).success
    assert search.is_alive()
    search.join()


def test_a_straight_line_is_followed_to_its_end(planner: Planner) -> None:
    start = planner.fk(HOME)
    ends = [Pose(start.position + [0.1, 0, -0.1], start.quaternion),
            Pose(start.position + [0.1, 0.15, -0.1], start.quaternion)]
    plan = planner.plan_cartesian(HOME, ends)
    assert plan.success and plan.fraction == 1.0 and sound(planner, plan.trajectory)
    assert distance(planner.fk(plan.trajectory.end), ends[-1]) < (1e-3, 1e-3)
    for q in plan.trajectory.positions:
        p = planner.fk(q).position - start.position
        on_first = abs(p[1]) < 2e-3 and abs(p[0] + p[2]) < 2e-3
        on_second = abs(p[0] - 0.1) < 2e-3 and abs(p[2] + 0.1) < 2e-3
        assert on_first or on_second


def test_a_blocked_line_tells_how_far_it_came(planner: Planner) -> None:
    start = planner.ik(LEFT, HOME)
    wall(planner)
    plan = planner.plan_cartesian(start, [RIGHT])
    assert 0.1 < plan.fraction < 0.5 and plan.message
    assert sound(planner, plan.trajectory)
    free = planner.plan_cartesian(start, [RIGHT], avoid_collisions=False)
    assert free.fraction == 1.0


def test_a_line_out_of_reach_stops_at_the_edge(planner: Planner) -> None:
    start = planner.fk(HOME)
    far = Pose(start.position + [0.8, 0, 0], start.quaternion)
    plan = planner.plan_cartesian(HOME, [far])
    assert 0.1 < plan.fraction < 0.9 and sound(planner, plan.trajectory)


def test_a_chunk_is_driven_about_as_fast_as_it_was_meant(planner: Planner) -> None:
    start = planner.fk(HOME)
    step = np.array([0.015, 0.0, -0.02])  # 2.5 cm
    chunk = [Pose(start.position + (i + 1) * step, start.quaternion) for i in range(8)]
    plan = planner.plan_cartesian(HOME, chunk)
    assert plan.fraction == 1.0 and sound(planner, plan.trajectory)
    assert plan.trajectory.duration < 1.1  # 0.8 s at 10 Hz, from rest to rest


def test_a_grazing_arm_may_leave_a_surface_but_not_press_into_it(planner: Planner) -> None:
    table = SceneObject.of("table", Box((1.0, 1.0, 0.1)), Pose.of([0.5, 0, -0.05]))
    planner.add_object(table)
    touching = planner.ik(top_down([0.5, 0, 0.006]), HOME)
    assert planner.in_collision(touching)
    assert planner.plan_cartesian(touching, [top_down([0.5, 0, 0.1])]).fraction == 1.0
    assert planner.plan_cartesian(touching, [top_down([0.5, 0, -0.05])]).fraction < 0.2
    planner.add_object(SceneObject("table", as_mesh(SceneObject(
        "table", (Part(Box((1.0, 1.0, 0.1))),), Pose.identity())).parts, table.pose))
    plan = planner.plan_cartesian(touching, [top_down([0.5, 0, 0.1])])
    assert plan.error_code is ErrorCode.START_STATE_IN_COLLISION, "how deep is not known"
    planner.add_object(table)
    deep = planner.ik(top_down([0.5, 0, -0.05]), HOME)
    plan = planner.plan_cartesian(deep, [top_down([0.5, 0, 0.1])])
    assert plan.error_code is ErrorCode.START_STATE_IN_COLLISION


@pytest.mark.parametrize("shape", [Box((0.1, 0.1, 0.1)), Sphere(0.06), Cylinder(0.06, 0.1),
                                   tetrahedron(0.06)])
def test_every_kind_of_obstacle_is_seen_moved_and_removed(planner: Planner, shape: object) -> None:
    tool = planner.fk(HOME).position
    planner.add_object(SceneObject("thing", (Part(shape),), Pose.of(tool)))
    assert planner.in_collision(HOME)
    assert "thing" in {c.body_2 for c in planner.contacts(HOME)}
    planner.move_object("thing", Pose.of(tool + [0.3, 0, 0]))
    assert not planner.in_collision(HOME) and not planner.contacts(HOME)
    planner.move_object("thing", Pose.of(tool))
    planner.remove_object("thing")
    assert not planner.in_collision(HOME)


def open_box(side: float = 0.5, height: float = 0.3, wall: float = 0.02) -> SceneObject:
    """Four walls and a floor, around (0.5, 0, 0.2)."""
    out, up = (side - wall) / 2, (height - wall) / 2
    parts = [(Box((side, wall, height)), [0, y, 0]) for y in (-out, out)]
    parts += [(Box((wall, side, height)), [x, 0, 0]) for x in (-out, out)]
    parts.append((Box((side, side, wall)), [0, 0, -up]))
    return SceneObject("box", tuple(Part(b, Pose.of(at)) for b, at in parts),
                       Pose.of([0.5, 0, 0.2]))


def as_mesh(boxes: SceneObject) -> SceneObject:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
                      [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])
    vertices = [corners * part.shape.size + part.pose.position for part in boxes.parts]
    triangles = [faces + 8 * i for i in range(len(vertices))]
    return SceneObject.of("box", Mesh(np.concatenate(vertices), np.concatenate(triangles)),
                          boxes.pose)


@pytest.mark.parametrize("low, high", [
    ([0.52, 0.124, 0.19], [0.401, 0.124, 0.272]), ([0.547, 0.124, 0.159], [0.385, 0.124, 0.35]),
    ([0.476, -0.127, 0.146], [0.635, -0.127, 0.255])])
def test_a_hollow_mesh_is_as_wide_inside_as_it_is(planner: Planner, low: list[float],
                                                  high: list[float]) -> None:
    truth = Planner(ROBOT)
    truth.add_object(open_box())
    planner.add_object(as_mesh(open_box()))
    start = planner.ik(top_down(low), HOME)
    plan = planner.plan_pose(start, top_down(high))
    assert plan.success and densely_free(truth, plan.trajectory.positions)


def test_a_held_object_travels_with_the_hand_and_hits_things(planner: Planner) -> None:
    tool = planner.fk(HOME)
    planner.add_object(SceneObject.of("mug", Box((0.04, 0.04, 0.1)), Pose(tool.position,
                                                                        Pose.identity().quaternion)))
    planner.attach("mug", HOME)
    assert not planner.in_collision(HOME)
    there = planner.ik(top_down([0.5, 0.2, 0.2]), HOME)
    assert np.allclose(planner.held_pose("mug", there).position, [0.5, 0.2, 0.2], atol=1e-3)
    planner.add_object(SceneObject.of("plate", Box((0.1, 0.1, 0.02)), Pose.of([0.5, 0.2, 0.15])))
    assert planner.in_collision(there) and not planner.in_collision(HOME)
    planner.remove_object("plate")
    planner.detach("mug", there)
    assert planner.in_collision(there) and not planner.in_collision(HOME)
    assert np.allclose(planner.scene.objects["mug"].pose.position, [0.5, 0.2, 0.2], atol=1e-3)


def test_allowed_collisions_let_the_fingers_touch_only_what_was_named(planner: Planner) -> None:
    tool = planner.fk(HOME).position
    for name in ("sponge", "glass"):
        planner.add_object(SceneObject.of(name, Box((0.02, 0.3, 0.02)), Pose.of(tool)))
    planner.allow_collision("sponge")
    planner.remove_object("glass")
    assert not planner.in_collision(HOME)
    planner.allow_collision("sponge", allowed=False)
    assert planner.in_collision(HOME)
    for finger in ("panda_leftfinger", "panda_rightfinger"):
        planner.allow_collision("sponge", finger)
    assert not planner.in_collision(HOME)


def test_what_may_touch_a_thing_may_not_touch_the_next_one_of_its_name(planner: Planner) -> None:
    thing = SceneObject.of("thing", Box((0.1, 0.1, 0.1)), Pose.of(planner.fk(HOME).position))
    planner.add_object(thing)
    planner.allow_collision("thing")
    planner.allow_collision("thing", "panda_hand")
    planner.add_object(thing)
    assert not planner.in_collision(HOME), "it was only seen anew"
    planner.forget_object("thing")
    planner.add_object(thing)
    assert planner.in_collision(HOME)
    assert not planner.scene.allowed and not planner.scene.allowed_with_all


def test_what_the_hand_carries_is_told_from_the_rest_of_the_arm(planner: Planner) -> None:
    assert all(map(planner.moves_with_hand, ("panda_hand", "panda_leftfinger", "panda_link8",
                                             ROBOT.tcp_link)))
    assert not any(map(planner.moves_with_hand, ("panda_link3", "panda_link0", "panda_link6")))


def test_impossible_objects_are_refused_and_leave_the_scene_as_it_was(planner: Planner) -> None:
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3)))
    for shape in (Box((0.1, -0.1, 0.1)), Sphere(float("nan")), empty):
        with pytest.raises(ValueError, match="bad"):
            planner.add_object(SceneObject.of("bad", shape, Pose.identity()))
    with pytest.raises(ValueError, match="not finite"):
        planner.add_object(SceneObject.of("bad", Sphere(0.1), Pose.of([np.nan, 0, 0])))
    assert not planner.scene.objects
    with pytest.raises(KeyError):
        planner.move_object("nothing", Pose.identity())


def test_broken_trajectories_are_told_apart(planner: Planner) -> None:
    good = planner.plan_pose(HOME, LEFT).trajectory
    assert check_limits(good, ROBOT) == []
    assert "velocity" in " ".join(check_limits(good.stretched(0.4), ROBOT))
    positions = good.positions.copy()
    positions[3, 0] = np.nan
    nan = Trajectory(good.joint_names, good.times, positions, good.velocities, good.accelerations)
    assert "not finite" in check_limits(nan, ROBOT)[0]
    backwards = Trajectory(good.joint_names, good.times[::-1], good.positions, good.velocities,
                           good.accelerations)
    assert "increase" in check_limits(backwards, ROBOT)[0]


def test_planning_is_the_same_each_time() -> None:
    ends = []
    for _ in range(2):
        planner = Planner(ROBOT)
        start = planner.ik(LEFT, HOME)
        wall(planner)
        ends.append(planner.plan_pose(start, RIGHT).trajectory)
    assert np.allclose(ends[0].positions, ends[1].positions)


def test_a_timed_path_stays_between_its_points_where_three_lie_on_one_line() -> None:
    """The arc between two parts of one straight way has no middle: it may lead anywhere."""
    timing, rng = Timing(ROBOT), np.random.default_rng(0)
    for _ in range(60):  # of the first 60 paths three led astray
        first, step, aside = np.array(ROBOT.home), *rng.normal(0.0, 0.05, (2, ROBOT.dof))
        first = first + rng.normal(0.0, 0.2, ROBOT.dof)
        points = [first, first + step, first + 2 * step, first + 2 * step + aside]
        positions = timing(points).positions
        low, high = np.min(points, axis=0), np.max(points, axis=0)
        assert (positions > low - 1e-3).all() and (positions < high + 1e-3).all()
        np.testing.assert_allclose(positions[-1], points[-1], atol=1e-6)
