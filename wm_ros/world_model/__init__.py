# SPDX-License-Identifier: Apache-2.0
"""World models: pure torch and numpy, no ROS, no simulator."""
from wm_ros.world_model.interface import (
    ActionChunks,
    Imagination,
    ModelSpec,
    Observation,
    State,
    WorldModel,
)
from wm_ros.world_model.loading import load_model, load_tokeniser

__all__ = ["ActionChunks", "Imagination", "ModelSpec", "Observation", "State", "WorldModel",
           "load_model", "load_tokeniser"]
