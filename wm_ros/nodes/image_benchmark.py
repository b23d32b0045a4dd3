# SPDX-License-Identifier: Apache-2.0
"""Images a second from one process to another over the middleware: one JSON line."""
from __future__ import annotations

import array
import json
import os
import subprocess
import sys
import time

from wm_ros.environment import prepare

SIZE, COUNT, RATE = (640, 480), 150, 30.0


def publish() -> None:
    """Child: send COUNT RGB images at RATE, stamped with the steady clock."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("image_benchmark_out")
    out = node.create_publisher(Image, "/wm/benchmark_image", qos_profile_sensor_data)
    deadline = time.monotonic() + 15
    while out.get_subscription_count() == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    message = Image(width=SIZE[0], height=SIZE[1], encoding="rgb8", step=3 * SIZE[0],
                    data=array.array("B", bytes(3 * SIZE[0] * SIZE[1])))
    for _ in range(COUNT):
        now = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
        out.publish(message)
        time.sleep(1 / RATE)
    time.sleep(0.5)
    node.destroy_node()
    rclpy.shutdown()


def main() -> None:
    """Parent: receive, and print what arrived and how late."""
    prepare()
    os.environ.setdefault("ROS_DOMAIN_ID", str(100 + os.getpid() % 100))
    import numpy as np
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node("image_benchmark_in")
    late: list[float] = []

    def heard(message: Image) -> None:
        sent = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        late.append((time.monotonic_ns() - sent) / 1e6)

    node.create_subscription(Image, "/wm/benchmark_image", heard, qos_profile_sensor_data)
    child = subprocess.Popen([sys.executable, "-m", "wm_ros.nodes.image_benchmark",
                              "--publish"])
    while child.poll() is None:
        rclpy.spin_once(node, timeout_sec=0.05)
    rclpy.spin_once(node, timeout_sec=0.2)
    node.destroy_node()
    rclpy.shutdown()
    print(json.dumps({
        "size": f"{SIZE[0]}x{SIZE[1]}", "sent": COUNT, "arrived": len(late),
        "p50_ms": round(float(np.median(late)), 2) if late else None,
        "p95_ms": round(float(np.quantile(late, 0.95)), 2) if late else None}))


if __name__ == "__main__":
    if "--publish" in sys.argv:
        publish()
    else:
        main()
