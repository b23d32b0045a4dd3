# SPDX-License-Identifier: Apache-2.0
"""Reactive experts: each looks at the simulator's state and returns the next action."""
