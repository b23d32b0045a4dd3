# SPDX-License-Identifier: Apache-2.0
"""Recorded sensors through perception and imagination, in simulated time."""
