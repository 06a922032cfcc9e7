"""numba as the kernels use it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from numba import njit

# Compiled code is kept beside the source. Where that cannot be written (an image that is read only), every process
# compiles for itself, some seconds: numba would raise instead.
compiled = partial(njit, nogil=True, cache=os.access(Path(__file__).parent, os.W_OK))
