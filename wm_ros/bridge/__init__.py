# SPDX-License-Identifier: Apache-2.0
"""Messages <-> numpy, and nothing else: the only place where the two types meet."""
