# SPDX-License-Identifier: Apache-2.0
"""The ``video`` family: a diffusion transformer over video latents and actions.

One network, two noise levels: policy, world model, inverse dynamics, video generation and
joint prediction are the same weights asked in different ways (after UWM, arXiv 2504.02792,
and Motus, arXiv 2512.13030).
"""
