# SPDX-License-Identifier: Apache-2.0
"""Benchmark of the jepa family against stable-worldmodel's LeWM; see README.md."""
