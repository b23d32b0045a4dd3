# SPDX-License-Identifier: Apache-2.0
"""What crosses the border between messages and numpy arrives unchanged, or is refused in words."""
from __future__ import annotations

import array

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose as PoseMsg
from geometry_msgs.msg import TransformStamped, WrenchStamped
from sensor_msgs.msg import Image, JointState
from tf2_msgs.msg import TFMessage

from wm_ros.bridge import (
    chunks,
    furniture,
    images,
    joints,
    observations,
    poses,
    rollouts,
    times,
)
from wm_ros.bridge.perception import OWN_FRAMES, Assembler, Perception
from wm_ros.bridge.synchroniser import Synchroniser
from wm_ros.bridge.transforms import TransformBuffer
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose, top_down
from wm_ros.nodes.parameters import TOPICS
from wm_ros.robot import load_robot

RNG = np.random.default_rng(0)
STAMP = Time(sec=12, nanosec=345_000_000)
ROBOT = load_robot()


def padded(image: np.ndarray, encoding: str, extra: int = 12) -> Image:
    row = image.reshape(len(image), -1).view(np.uint8)
    data = np.zeros((len(image), row.shape[1] + extra), np.uint8)
    data[:, :row.shape[1]] = row
    return Image(height=image.shape[0], width=image.shape[1], encoding=encoding,
                 step=data.shape[1], data=array.array("B", data.tobytes()))


def test_time_survives_to_the_nanosecond() -> None:
    for nanoseconds in (0, 1, 999_999_999, 1_795_344_379_228_575_700):
        stamp = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        assert times.nanoseconds(stamp) == nanoseconds
    assert times.seconds(times.stamp(12.345)) == pytest.approx(12.345, abs=1e-9)
    assert times.stamp(1.9999999999).sec == 2


def test_colours_are_not_exchanged() -> None:
    rgb = RNG.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    message = images.to_colour(rgb, STAMP, "camera")
    assert isinstance(message.data, array.array)
    np.testing.assert_array_equal(images.from_colour(message), rgb)
    bgr = images.NumpyBridge().cv2_to_imgmsg(rgb[..., ::-1], "bgr8")
    np.testing.assert_array_equal(images.from_colour(bgr), rgb)
    alpha = np.dstack([rgb[..., ::-1], np.full((5, 7), 255, np.uint8)])
    np.testing.assert_array_equal(
        images.from_colour(images.NumpyBridge().cv2_to_imgmsg(alpha, "bgra8")), rgb)


def test_padded_rows_do_not_shear_the_picture() -> None:
    rgb = RNG.integers(0, 255, (6, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(images.from_colour(padded(rgb, "rgb8")), rgb)
    depth = RNG.integers(1, 5000, (6, 5)).astype(np.uint16)
    read = images.from_depth(padded(depth, "16UC1"))
    np.testing.assert_allclose(read, depth / 1000.0, atol=1e-6)


def test_depth_is_metres_whatever_the_driver_sends() -> None:
    depth = RNG.uniform(0.2, 3.0, (4, 6)).astype(np.float32)
    np.testing.assert_array_equal(
        images.from_depth(images.to_depth(depth, STAMP, "camera")), depth)
    depth[0, 0], depth[0, 1] = np.nan, np.inf
    read = images.from_depth(images.to_depth(depth, STAMP, "camera"))
    assert read[0, 0] == read[0, 1] == 0.0
    big = images.NumpyBridge().cv2_to_imgmsg(np.array([[1, 256]], np.uint16), "16UC1")
    big.is_bigendian = 1
    np.testing.assert_allclose(images.from_depth(big), [[0.256, 0.001]])


@pytest.mark.parametrize("change", [{"encoding": "yuv422"}, {"height": 50}, {"width": 0}])
def test_broken_images_are_refused_in_words(change: dict) -> None:
    message = images.to_colour(np.zeros((5, 7, 3), np.uint8), STAMP, "camera")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(UserError):
        images.from_colour(message)


def test_cutting_a_square_keeps_the_calibration_true() -> None:
    k = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    image = np.zeros((480, 640, 3), np.uint8)
    image[100:140, 400:440] = 255
    small, new = images.square(image, k, 96)
    rows, columns = np.nonzero(small[..., 0] > 128)
    ray = np.linalg.inv(k) @ [419.5, 119.5, 1]
    u, v, _ = new @ ray
    assert abs(columns.mean() - u) < 0.6
    assert abs(rows.mean() - v) < 0.6


def test_joints_come_in_the_order_asked_for() -> None:
    message = JointState(name=["b", "a", "c"], position=[2.0, 1.0, 3.0], velocity=[0.2, 0.1, 0.3])
    state = joints.from_joint_state(message, ["a", "b"])
    np.testing.assert_array_equal(state.position, [1.0, 2.0])
    np.testing.assert_array_equal(state.velocity, [0.1, 0.2])
    np.testing.assert_array_equal(state.effort, [0.0, 0.0])


@pytest.mark.parametrize(("message", "word"), [
    (JointState(name=["a"], position=[1.0]), "lack b"),
    (JointState(name=["a", "b"], position=[1.0, float("nan")]), "NaN"),
    (JointState(name=["a", "b"], position=[1.0]), "positions"),
])
def test_bad_joint_states_are_named(message: JointState, word: str) -> None:
    with pytest.raises(UserError, match=word):
        joints.from_joint_state(message, ["a", "b"])


def test_trajectories_survive_and_slow_down_within_limits() -> None:
    t = np.linspace(0.0, 1.0, 11)
    path = joints.JointPath(("a", "b"), t, np.stack([t**2, t], 1), np.stack([2 * t, t * 0 + 1], 1),
                            np.stack([t * 0 + 2, t * 0], 1))
    read = joints.from_trajectory(joints.to_trajectory(path))
    for a, b in zip(read[1:], path[1:], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    slow = joints.stretched(read, 2.0)
    assert slow.duration == pytest.approx(2.0)
    np.testing.assert_allclose(slow.velocities, path.velocities / 2)
    np.testing.assert_allclose(slow.accelerations, path.accelerations / 4)
    assert joints.stretched(read, 0.5).duration == pytest.approx(1.0)


@pytest.mark.parametrize("broken", ["empty", "nan", "backwards", "ragged"])
def test_unsound_trajectories_are_refused(broken: str) -> None:
    t = np.array([0.1, 0.2])
    message = joints.to_trajectory(joints.JointPath(("a",), t, t[:, None], None, None))
    if broken == "empty":
        message.points = []
    elif broken == "nan":
        message.points[0].positions = [float("nan")]
    elif broken == "backwards":
        message.points[1].time_from_start = times.duration(0.05)
    else:
        message.points[1].positions = [0.1, 0.2]
    with pytest.raises(UserError):
        joints.from_trajectory(message)


def test_poses_are_checked_at_the_border() -> None:
    pose = top_down([0.4, 0.1, 0.2], 0.3)
    read = poses.from_pose(poses.to_pose(pose))
    np.testing.assert_allclose(read.position, pose.position)
    np.testing.assert_allclose(read.quaternion, pose.quaternion)
    with pytest.raises(UserError, match="length zero"):
        poses.from_pose(PoseMsg(orientation=poses.Quaternion(w=0.0)))
    message = poses.to_pose(pose)
    message.position.x = float("inf")
    with pytest.raises(UserError, match="finite"):
        poses.from_pose(message)


def chunk(**changes: object) -> chunks.Chunk:
    way = [top_down([0.4 + 0.01 * i, 0.0, 0.3]) for i in range(16)]
    return chunks.Chunk("c1", 100.1, 100.0, 0.1, way, np.full(16, 0.08), 0.5, 0.7,
                        0.01, 0.4)._replace(**changes)


def test_chunks_survive_the_wire() -> None:
    sent = chunk()
    read = chunks.from_message(chunks.to_message(sent, "base", "tcp", 7), "base", "tcp")
    assert read.id == sent.id
    assert read.stamp == pytest.approx(sent.stamp)
    np.testing.assert_allclose([p.position for p in read.poses], [p.position for p in sent.poses])
    np.testing.assert_allclose(read.gripper, sent.gripper)
    assert (read.success, read.progress) == pytest.approx((0.7, 0.4))


@pytest.mark.parametrize(
    "change", ["dt", "stamp", "validity", "frame", "nan", "gripper", "joints"])
def test_chunks_that_could_not_be_executed_safely_are_refused(change: str) -> None:
    message = chunks.to_message(chunk(), "base", "tcp")
    if change == "dt":
        message.dt = 0.0
    elif change == "stamp":
        message.header.stamp = Time()
    elif change == "validity":
        message.validity = times.duration(0.0)
    elif change == "frame":
        message.header.frame_id = "map"
    elif change == "nan":
        message.poses[3].position.z = float("nan")
    elif change == "gripper":
        message.gripper_width = [0.08]
    else:
        message.representation = 2
    with pytest.raises(UserError):
        chunks.from_message(message, "base", "tcp")


def test_late_and_jumping_chunks_are_dropped() -> None:
    sound = chunk()
    bounds = np.array([[0.1, 0.9], [-0.7, 0.7], [0.0, 0.9]])
    present = sound.poses[0]
    chunks.check_fresh(sound, 100.5)
    chunks.check_reach(sound, present, bounds, 0.05, 0.1)
    with pytest.raises(UserError, match="too late"):
        chunks.check_fresh(sound, 100.7)
    with pytest.raises(UserError, match="work space"):
        chunks.check_reach(chunk(poses=[top_down([2.0, 0, 0.3])]), present, bounds, 0.05, 0.1)
    with pytest.raises(UserError, match="jumps"):
        chunks.check_reach(chunk(poses=[present, top_down([0.6, 0, 0.3])]), present, bounds,
                           0.05, 0.1)
    with pytest.raises(UserError, match="away from the arm"):
        chunks.check_reach(sound, top_down([0.2, 0.4, 0.3]), bounds, 0.05, 0.1)


def test_observation_reaches_the_model_as_it_was_seen() -> None:
    rgb = RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    depth = RNG.uniform(0.3, 2.0, (8, 8)).astype(np.float32)
    k = np.array([[50.0, 0, 4], [0, 50, 4], [0, 0, 1]])
    camera = Pose.of([1.0, 0.0, 0.7], [0.1, 0.7, -0.7, 0.1])
    views = [observations.View("scene", "sf", rgb, depth, k, camera),
             observations.View("wrist", "wf", rgb[::-1], None, k, camera)]
    q = np.append(ROBOT.home, [0.02, 0.02])
    tcp = top_down([0.4, 0.0, 0.3])
    message = observations.to_message(STAMP, 3, views, ROBOT, joints.Joints(q, q * 0, q * 0), tcp,
                                      np.arange(6.0))
    observations.set_latent(message, np.arange(6, dtype=np.float32).reshape(2, 3))
    fields = observations.fields(message, ROBOT)
    np.testing.assert_array_equal(fields["scene_rgb"], rgb)
    np.testing.assert_array_equal(fields["wrist_rgb"], rgb[::-1])
    np.testing.assert_array_equal(fields["scene_depth"], depth)
    np.testing.assert_allclose(fields["q"], ROBOT.home)
    np.testing.assert_allclose(fields["scene_position"], camera.position)
    np.testing.assert_allclose(fields["tcp_quaternion"], tcp.quaternion)
    assert fields["gripper"] == pytest.approx(0.04)
    assert fields["stamp"] == pytest.approx(12.345)
    np.testing.assert_array_equal(fields["latent"], [[0, 1, 2], [3, 4, 5]])
    message.camera_names = ["scene"]
    with pytest.raises(UserError, match="wrist camera"):
        observations.fields(message, ROBOT)


def test_imagined_future_survives_the_wire() -> None:
    frames = RNG.integers(0, 255, (2, 4, 4, 3), dtype=np.uint8)
    sent = rollouts.Rollout("c1", 5.0, frames, np.array([0.8, 1.6]), [top_down([0.4, 0, 0.3])],
                            0.9, 0.1, RNG.normal(size=(2, 3, 4)).astype(np.float32))
    read = rollouts.from_message(rollouts.to_message(sent, "base"))
    np.testing.assert_array_equal(read.frames, frames)
    np.testing.assert_allclose(read.times, sent.times)
    np.testing.assert_array_equal(read.latents, sent.latents)


def test_transforms_are_chained_and_interpolated() -> None:
    buffer = TransformBuffer()
    buffer.add([poses.to_transform(Pose.of([0, 0, 1.0]), "world", "base", STAMP)], static=True)
    buffer.add([poses.to_transform(Pose.of([0, 0.1, 0.0]), "hand", "camera", STAMP)], static=True)
    for t, x in ((1.0, 0.0), (2.0, 1.0)):
        buffer.add([poses.to_transform(Pose.of([x, 0, 0]), "base", "hand", times.stamp(t))])
    np.testing.assert_allclose(buffer.lookup("base", "camera", 1.5).position, [0.5, 0.1, 0])
    np.testing.assert_allclose(buffer.lookup("world", "camera", 2.0).position, [1.0, 0.1, 1.0])
    np.testing.assert_allclose(buffer.lookup("hand", "world", 2.0).position, [-1.0, 0, -1.0])
    link, pose = buffer.anchor("camera", {"hand"}) or ("", Pose.identity())
    assert link == "hand"
    np.testing.assert_allclose(pose.position, [0, 0.1, 0])
    with pytest.raises(UserError, match="late or has stopped"):
        buffer.lookup("base", "camera", 9.0)
    with pytest.raises(UserError, match="nothing publishes"):
        buffer.lookup("base", "elsewhere", 1.5)


def test_a_circle_of_transforms_is_said_and_does_not_hang() -> None:
    buffer, still = TransformBuffer(), Pose.of([0.0, 0, 0])
    buffer.add([poses.to_transform(still, parent, child, STAMP) for parent, child in
                (("mount", "camera"), ("arm", "mount"), ("camera", "arm"), ("self", "self"))],
               static=True)
    for frame in ("camera", "self"):
        assert buffer.anchor(frame, {"hand"}) is None
        with pytest.raises(UserError, match=f"transforms of {frame} form a circle"):
            buffer.lookup("base", frame, 1.0)


def test_sensors_of_one_moment_are_found_by_their_stamps() -> None:
    sync = Synchroniser(["image", "joints"], 0.03)
    sync.add("image", 1.0, "i1")
    assert sync.match() is None
    for t in (0.98, 1.0, 1.02):
        sync.add("joints", t, f"j{t}")
    stamp, found = sync.match() or (0.0, {})
    assert (stamp, found["image"], found["joints"]) == (1.0, "i1", "j1.0")
    sync.consume(stamp)
    assert sync.match() is None
    sync.add("image", 1.2, "i2")
    assert sync.match() is None  # its joints have not come yet
    sync.add("joints", 1.21, "j")
    assert sync.match() is not None


def test_furniture_of_a_user_reaches_the_planning_scene() -> None:
    scene = furniture.from_yaml(
        {"table": [{"box": [1.0, 0.6, 0.04], "position": [0.5, 0, -0.02], "yaw": 0.5}],
         "post": [{"cylinder": [0.03, 0.5], "position": [0.3, 0.4, 0.25]}]}, "base")
    table, post = scene.world.collision_objects
    assert table.id == "table"
    assert list(table.primitives[0].dimensions) == [1.0, 0.6, 0.04]
    assert list(post.primitives[0].dimensions) == [0.5, 0.03]  # height first, as MoveIt wants it


@pytest.mark.parametrize(("part", "sentence"), [
    ("box: [1, 1, 1]", "needs a shape .* and a position"),
    ("ball: 1, position: [0, 0, 1]", "needs a shape .* and a position"),
    ("cylinder: 0.02, position: [0, 0, 1]", r"needs cylinder: \[radius, length\] .*, not 0.02"),
    ("cylinder: [0.02], position: [0, 0, 1]", r"needs cylinder: \[radius, length\]"),
    ("box: [0.1, 0.2], position: [0, 0, 1]", r"needs box: \[x, y, z\]"),
    ("box: [0.1, 0.2, wide], position: [0, 0, 1]", r"needs box: \[x, y, z\]"),
    ("sphere: [0.1, 0.2], position: [0, 0, 1]", r"needs sphere: \[radius\]"),
    ("sphere: -0.1, position: [0, 0, 1]", "more than 0 m"),
    ("sphere: 0.1, position: [0.5, 0.1]", r"needs position: \[x, y, z\]"),
    ("sphere: 0.1, position: [0, 0, 1], yaw: left", "needs yaw"),
    ("sphere: 0.1, position: [0, 0, 1], quaternion: [0, 0, 0, 0]", "no length"),
])
def test_furniture_that_cannot_be_read_is_told_with_its_part(part: str, sentence: str) -> None:
    good = {"box": [1.0, 0.6, 0.04], "position": [0.5, 0, -0.02]}
    with pytest.raises(UserError, match=f"Part 2 of the furniture table.*{sentence}"):
        furniture.from_yaml({"table": [good, yaml.safe_load(f"{{{part}}}")]}, "base")
    for data in ([good], {"table": good}):
        with pytest.raises(UserError, match="box: "):
            furniture.from_yaml(data, "base")  # type: ignore[arg-type]


def state(stamp: float, **positions: float) -> JointState:
    return joints.to_joint_state(times.stamp(stamp), list(positions),
                                 np.array(list(positions.values())))


def test_arm_and_hand_may_be_told_by_different_drivers() -> None:
    both = joints.JointStates(["a", "b", "finger"])
    alone = both.add(state(1.0, a=1.0, b=2.0))
    assert list(alone.name) == ["a", "b"], "whoever reads it says what lacks"
    assert both.add(state(1.1, finger=0.04)) is None, "it is not about the arm"
    merged = both.add(state(1.2, b=3.0, a=4.0))
    assert list(merged.name) == ["a", "b", "finger"]
    assert list(merged.position) == [4.0, 3.0, 0.04]
    assert times.seconds(merged.header.stamp) == pytest.approx(1.2)
    assert list(both.add(state(9.0, a=1.0, b=2.0)).name) == ["a", "b"], "the finger's is too old"
    whole = state(9.1, a=1.0, b=2.0, finger=0.0)
    assert both.add(whole) is whole


def test_after_a_clock_that_was_set_back_observations_come_at_once() -> None:
    class Assembler:
        robot = ROBOT

        def assemble(self, stamp: float, found: dict) -> float:
            return stamp

    perception = Perception(Assembler(), ["scene_color"], 0.03, 10.0)  # type: ignore[arg-type]
    seen = []
    for stamp in [*np.arange(600.0, 601.0, 0.1), *np.arange(0.1, 1.0, 0.1)]:
        message = Image()
        message.header.stamp = times.stamp(float(stamp))
        perception.add("scene_color", message)
        seen.append(perception.next())
    assert len([s for s in seen if s is not None and s < 2.0]) >= 8


class Counting:
    """Assembles stamps, of all that is not refused."""

    robot, news = ROBOT, 0

    def __init__(self, refused: str = "") -> None:
        self.refused, self.tries = refused, 0

    def assemble(self, stamp: float, found: dict) -> float:
        self.tries += 1
        if self.refused:
            raise UserError(self.refused)
        return stamp


def played(assembler: Counting, rates: dict[str, float], late: dict[str, float],
           ahead: dict[str, float], seconds: float = 3.0) -> tuple[Perception, list[float]]:
    """Observations of streams (Hz) that come late (s), with stamps that are ahead (s)."""
    perception = Perception(assembler, list(rates), 0.03, 10.0)  # type: ignore[arg-type]
    coming = sorted((at + late.get(name, 0.0), at + ahead.get(name, 0.0), name)
                    for name, rate in rates.items()
                    for at in np.arange(1.0, 1.0 + seconds, 1 / rate))
    seen = []
    for _, stamp, name in coming:
        message = (state(stamp, **dict.fromkeys(ROBOT.joints, 0.0)) if name == "joint_states"
                   else Image())
        message.header.stamp = times.stamp(float(stamp))
        perception.add(name, message)
        seen.append(perception.next())
    return perception, [s for s in seen if s is not None]


RATES = {"scene_color": 30.0, "wrist_color": 30.0, "joint_states": 1000.0, "scene_depth": 30.0}


def test_depth_may_come_long_after_the_joint_states_of_a_fast_driver() -> None:
    perception, seen = played(Counting(), RATES, {"scene_depth": 0.12}, {})
    assert len(seen) >= 25
    assert perception.unmatched() == perception.trouble == ""


def test_cameras_that_are_not_synchronised_are_named_with_their_distance() -> None:
    apart = {"scene_color": 10.0, "wrist_color": 10.0, "joint_states": 500.0}
    perception, seen = played(Counting(), apart, {}, {"wrist_color": 0.045})
    assert not seen
    assert "wrist camera" in perception.unmatched() and "0.045 s" in perception.unmatched()
    perception, _ = played(Counting(), {**apart, "wrist_color": 1e-3}, {"wrist_color": 10.0}, {})
    assert "wrist camera" in perception.unmatched()


def test_a_moment_that_cannot_be_used_is_not_unpacked_at_every_message() -> None:
    assembler = Counting("The force-torque sensor gives no numbers (NaN).")
    perception, seen = played(assembler, RATES, {"scene_depth": 0.12}, {})
    assert not seen and perception.trouble == assembler.refused and perception.lasting
    images = 3.0 * RATES["scene_color"]
    assert images / 2 < assembler.tries < 3 * images
    assembler.refused, tries = "", assembler.tries
    assembler.news += 1  # a calibration has come
    assert perception.next() is not None and assembler.tries == tries + 1


def test_images_that_are_done_with_are_not_kept() -> None:
    perception, _ = played(Counting(), RATES, {"scene_depth": 0.12}, {}, seconds=2.0)
    kept = {name: len(stream.stamps) for name, stream in perception._sync._streams.items()}
    assert kept["scene_color"] < 12 and kept["joint_states"] < 400
    perception, _ = played(Counting("broken"), RATES, {}, {}, seconds=4.0)
    kept = {name: len(stream.stamps) for name, stream in perception._sync._streams.items()}
    assert kept["scene_color"] <= 60 and kept["joint_states"] <= 1001


def test_a_wrench_is_turned_into_the_hands_frame() -> None:
    assembler = Assembler(ROBOT, 96, 0.03, {})
    mounted = TransformStamped(child_frame_id="sensor")
    mounted.header.frame_id = ROBOT.hand_link
    mounted.transform.rotation.z = mounted.transform.rotation.w = np.sqrt(0.5)  # a quarter turn
    assembler.add_transforms(TFMessage(transforms=[mounted]), static=True)
    message = WrenchStamped()
    message.wrench.force.x, message.wrench.torque.y = 5.0, 2.0
    home = np.asarray(ROBOT.home)
    for frame, wanted in (("sensor", [0, 5, 0, -2, 0, 0]), ("unknown", [5, 0, 0, 0, 2, 0]),
                          (ROBOT.hand_link, [5, 0, 0, 0, 2, 0])):
        message.header.frame_id = frame
        np.testing.assert_allclose(assembler._wrench(message, home), wanted, atol=1e-9)


def moment(**changes: object) -> tuple[Assembler, dict]:
    """A moment of 8 x 6 pixels whose cameras stand at ``scene``, ``wrist`` and ``named``.

    :param changes: ``k``, ``info``, ``depth`` (width, height), ``frame``, ``depth_frame``,
        ``names``: what is otherwise
    """
    k = np.array([[9.0, 0, 4], [0, 9.0, 3], [0, 0, 1]])
    assembler = Assembler(ROBOT, 96, 0.03, changes.get("names", {}))  # type: ignore[arg-type]
    assembler.add_transforms(TFMessage(transforms=[
        poses.to_transform(Pose.of([x, 0, 1]), ROBOT.base_link, frame, STAMP)
        for x, frame in ((0.1, "scene"), (0.2, "wrist"), (0.3, "named"))]), static=True)
    found = {"joint_states": joints.to_joint_state(STAMP, ROBOT.joints, np.append(ROBOT.home,
                                                                                  [0.02, 0.02]))}
    for camera in ("scene", "wrist"):
        frame = str(changes.get("frame", camera)) if camera == "scene" else camera
        assembler.calibrate(camera, images.to_camera_info(
            changes.get("k", k), changes.get("info", (8, 6)), STAMP, frame))  # type: ignore
        found[f"{camera}_color"] = images.to_colour(np.zeros((6, 8, 3), np.uint8), STAMP, frame)
    width, height = changes.get("depth", (8, 6))  # type: ignore[misc]
    found["scene_depth"] = images.to_depth(np.ones((height, width), np.float32), STAMP,
                                           str(changes.get("depth_frame", "scene")))
    return assembler, found


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"info": (640, 480)}, "for 640 x 480 pixels, but its images have 8 x 6; let topics.scene_"),
    ({"info": (8, 7)}, "for 8 x 7 pixels"),
    ({"k": np.zeros((3, 3))}, r"gives no focal lengths \(fx 0, fy 0\); calibrate"),
    ({"k": np.full((3, 3), np.nan)}, "no focal lengths"),
    ({"depth": (4, 3)}, r"depth image \(4 x 3 pixels\) is not registered.*topics.scene_depth"),
    ({"depth_frame": "camera_depth_optical_frame"},
     r"depth image \(camera_depth_optical_frame\) is not registered to the colour image \(scene"),
])
def test_what_cannot_belong_to_the_colour_image_is_refused(
        changes: dict[str, object], sentence: str) -> None:
    assembler, found = moment(**changes)
    with pytest.raises(UserError, match=sentence) as error:
        assembler.assemble(times.seconds(STAMP), found)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes", [{}, {"info": (0, 0)}, {"depth_frame": ""}])
def test_drivers_that_leave_size_or_frame_out_are_believed(changes: dict[str, object]) -> None:
    assembler, found = moment(**changes)
    assert assembler.assemble(times.seconds(STAMP), found).camera_names == ["scene", "wrist"]


@pytest.mark.parametrize(("name", "frame", "wanted"), [
    ("named", "scene", 0.3), ("named", "", 0.3), ("", "scene", 0.1),
    ("scene_camera_optical_frame", "scene", 0.1)])
def test_a_named_camera_frame_wins_over_the_one_in_the_images(
        name: str, frame: str, wanted: float) -> None:
    assembler, found = moment(frame=frame, names={"frames.scene_camera": name})
    message = assembler.assemble(times.seconds(STAMP), found)
    assert message.camera_poses[0].position.x == pytest.approx(wanted)
    assert message.camera_poses[1].position.x == pytest.approx(0.2)


def test_own_frames_are_those_of_the_simulators() -> None:
    defaults = {p.name: p.default for p in TOPICS}
    assert {f"frames.{camera}_camera": frame for camera, frame in OWN_FRAMES.items()}.items() <= (
        defaults.items())


def test_a_point_cloud_lies_where_the_camera_sees_it() -> None:
    depth = np.ones((8, 8), np.float32)
    k = np.array([[8.0, 0, 3.5], [0, 8.0, 3.5], [0, 0, 1]])  # pixel centres at whole numbers
    views = [observations.View("scene", "scene", np.zeros((8, 8, 3), np.uint8), depth, k,
                               Pose.identity())]
    seen = observations.cloud(observations.to_message(
        STAMP, 1, views, ROBOT, joints.Joints(np.zeros(9), np.zeros(9), np.zeros(9)),
        top_down([0.4, 0, 0.2]), np.zeros(6)))
    np.testing.assert_allclose(seen.points.mean(0), [0, 0, 1], atol=1e-6)
