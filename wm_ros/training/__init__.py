# SPDX-License-Identifier: Apache-2.0
"""Training of the world models from data sets: ``wm train``."""
