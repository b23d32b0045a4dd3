# SPDX-License-Identifier: Apache-2.0
"""What `ros2 launch FILE name:=value ...` does, for machines that have launch but not ros2cli."""
from __future__ import annotations

import signal
import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource


def main(file: str, words: list[str]) -> int:
    """Run the launch file until it ends or Ctrl-C."""
    # launch adds to Python's own handler, which is missing where a shell started this unheard
    signal.signal(signal.SIGINT, signal.default_int_handler)
    service = LaunchService(argv=words)
    given = [tuple(word.split(":=", 1)) for word in words]
    service.include_launch_description(LaunchDescription([
        IncludeLaunchDescription(AnyLaunchDescriptionSource(file), launch_arguments=given)]))
    return int(service.run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
