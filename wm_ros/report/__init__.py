# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind for people: numbers, pictures and an animation."""
