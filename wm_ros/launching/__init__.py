# SPDX-License-Identifier: Apache-2.0
"""What the launch files are made of. Only ``actions`` and ``lifecycle`` need ``launch``."""
