# SPDX-License-Identifier: Apache-2.0
"""The nodes: thin shells of parameters, topics, time and errors around the other rooms."""
