# SPDX-License-Identifier: Apache-2.0
"""The ``jepa`` family: an encoder and an action-conditioned predictor in a small latent space.

Trained end to end from pixels with two losses, after LeWorldModel (arXiv 2603.19312); acts by
searching for the actions whose predicted latents reach those of a goal image.
"""
