# SPDX-License-Identifier: Apache-2.0
"""Publishes numbered strings, images and one of the suite's own messages until it is ended.

With a file as argument, the moment of each number is written there, one a line.
"""

from __future__ import annotations

import sys
import time

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String

from wm_ros import environment
from wm_ros.msg import Surprise

environment.prepare()
rclpy.init()
node = rclpy.create_node("talker")
count = node.create_publisher(String, "/count", 50)
image = node.create_publisher(Image, "/image", qos_profile_sensor_data)
surprise = node.create_publisher(Surprise, "/wm/surprise", 10)
latched = node.create_publisher(
    String, "/robot_description", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
latched.publish(String(data="<robot/>"))
picture = Image(height=96, width=96, encoding="rgb8", step=288, data=bytes(96 * 288))
log = open(sys.argv[1], "w", buffering=1) if len(sys.argv) > 1 else None  # noqa: SIM115
number = 0
try:
    while True:
        now = time.time()
        count.publish(String(data=f"{number} {now}"))
        if log is not None:
            log.write(f"{now}\n")
        if number % 3 == 0:
            image.publish(picture)
            surprise.publish(Surprise(value=float(number), threshold=1.0, chunk_id="c"))
        number += 1
        time.sleep(0.01)
except KeyboardInterrupt:
    sys.exit(0)
