# SPDX-License-Identifier: Apache-2.0
"""The room in 3D: a metric map from posed RGB-D, things in it, and a physics twin of them."""
