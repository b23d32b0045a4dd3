# SPDX-License-Identifier: Apache-2.0
"""Closed-loop and open-loop evaluation, and benchmarks."""
