# SPDX-License-Identifier: Apache-2.0
"""Images that a lens bends are refused in words; of rectified ones P counts."""
from __future__ import annotations

import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image

from wm_ros.bridge import images, joints, poses
from wm_ros.bridge.perception import Assembler
from wm_ros.errors import UserError
from wm_ros.motion.pose import Pose
from wm_ros.robot import load_robot

ROBOT = load_robot()
K = np.array([[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]])
P = np.array([[550.0, 0, 319.5], [0, 560.0, 239.5], [0, 0, 1]])
CORNER = math.hypot(239.5, 239.5) / 600.0  # of the middle square, as a tangent


def info(d: list[float], model: str = "plumb_bob") -> CameraInfo:
    """A camera of 640 x 480 pixels with focal lengths 600 px, rectified 550 and 560 px."""
    made = images.to_camera_info(K, (640, 480), Time(), "camera")
    made.d, made.distortion_model = d, model
    made.p = np.column_stack([P, np.zeros(3)]).ravel().tolist()
    return made


def check(calibration: CameraInfo, rectified: bool = False) -> None:
    images.check_calibration(calibration, Image(width=640, height=480), "the scene camera",
                             "topics.scene_info", rectified)


@pytest.mark.parametrize(("d", "model", "shift"), [
    ([0.1, 0.0, 0.0, 0.0, 0.0], "plumb_bob", 600 * 0.1 * CORNER**3),
    ([0.1], "", 600 * 0.1 * CORNER**3),
    ([0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.0, 0.0], "rational_polynomial",
     600 * CORNER * (1 - 1 / (1 + 0.2 * CORNER**2))),
    ([0.1, 0.0, 0.0, 0.0], "equidistant",
     600 * (CORNER - math.atan(CORNER) * (1 + 0.1 * math.atan(CORNER)**2)))])
def test_what_the_lens_moves_is_told_in_pixels(d: list[float], model: str, shift: float) -> None:
    assert images.lens_shift(info(d, model), 640, 480) == pytest.approx(shift, abs=0.01)
    sentence = rf"by up to {shift:.1f} pixels.*rectified_images"
    with pytest.raises(UserError, match=sentence) as error:
        check(info(d, model))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("d", [[], [0.0] * 5, [1e-4] * 5])
def test_a_lens_that_hardly_bends_is_let_through(d: list[float]) -> None:
    check(info(d))


@pytest.mark.parametrize("d", [[math.nan] * 5, [0.1] * 20])
def test_distortion_that_makes_no_sense_is_refused(d: list[float]) -> None:
    with pytest.raises(UserError, match="bends"):
        check(info(d))


def test_of_rectified_images_p_counts_and_has_to_be_there() -> None:
    calibration = info([0.1] * 5)
    check(calibration, rectified=True)
    np.testing.assert_array_equal(images.from_camera_info(calibration, True), P)
    np.testing.assert_array_equal(images.from_camera_info(calibration), K)
    calibration.p = [0.0] * 12
    with pytest.raises(UserError, match="no focal lengths"):
        check(calibration, rectified=True)


@pytest.mark.parametrize(("rectified", "focal"), [(False, 0.0), (True, 560 * 96 / 480)])
def test_observations_are_made_of_rectified_images_alone(rectified: bool, focal: float) -> None:
    assembler = Assembler(ROBOT, 96, 0.03, {}, rectified)
    stamp = Time(sec=1)
    found = {"joint_states": joints.to_joint_state(stamp, ROBOT.joints,
                                                   np.append(ROBOT.home, [0.02, 0.02]))}
    for camera in ("scene", "wrist"):
        assembler.calibrate(camera, info([0.1] * 5))
        assembler._buffer.add([poses.to_transform(Pose.identity(), ROBOT.base_link, camera,
                                                  stamp)], static=True)
        found[f"{camera}_color"] = images.to_colour(np.zeros((480, 640, 3), np.uint8), stamp,
                                                    camera)
    if not rectified:
        with pytest.raises(UserError, match="lens of the scene camera bends"):
            assembler.assemble(1.0, found)
        return
    for calibration in assembler.assemble(1.0, found).camera_infos:
        assert calibration.k[4] == pytest.approx(focal)
