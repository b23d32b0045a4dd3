# SPDX-License-Identifier: Apache-2.0
"""Tests that share one running system: none of them ends a node."""
