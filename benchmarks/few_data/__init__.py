# SPDX-License-Identifier: Apache-2.0
"""What predicting video adds where demonstrations are few."""
