"""Scene-linear colour spaces by the names of an OpenColorIO configuration."""

import difflib
import functools
import os
from typing import Any

import numpy as np

from .._optional import require
from ..errors import UsageError, first_line
from .colour import SRGB, Space

_BUILT_IN, _LINEAR_709 = "ocio://default", "Linear Rec.709 (sRGB)"
_TOLERANCE = 1e-3


@functools.cache
def input_space(name: str) -> Space:
    """Return the space of a name or alias, such as ACEScg, whose numbers are light; once for all frames of a job.

    The configuration is that of $OCIO, or OpenColorIO's own. Raises `UsageError` for a name that it does not have and
    for a space that is not scene-linear, and `DependencyError` without OpenColorIO.
    """
    ocio: Any = require("PyOpenColorIO", "ocio", "`input_space`")
    built_in = ocio.Config.CreateFromBuiltinConfig(_BUILT_IN)
    try:
        config = ocio.Config.CreateFromEnv() if os.environ.get("OCIO") else built_in
        if config.getColorSpace(name) is None:
            known = list(config.getColorSpaceNames())
            near = difflib.get_close_matches(name, known, 5, 0.3) or known[:5]
            raise UsageError(
                f"`input_space` must be a colour space of the OpenColorIO configuration, such as {', '.join(near)}; "
                f"got {name!r}",
                parameter="input_space",
            )
        converting = ocio.Config.GetProcessorFromConfigs(config, name, built_in, _LINEAR_709).getDefaultCPUProcessor()
    except ocio.Exception as error:
        raise UsageError(
            f"`input_space={name}`: OpenColorIO cannot read it ({first_line(error)}); check the configuration in $OCIO",
            parameter="input_space",
        ) from error
    matrix = _converted(converting, np.eye(3)).T
    probes = np.array([[0.0, 0, 0], [0.18, 0.18, 0.18], [2, 1, 0.5], [0.01, 4, 0.3]])
    if np.abs(_converted(converting, probes) - probes @ matrix.T).max() > _TOLERANCE:
        raise UsageError(
            f"`input_space={name}` is not scene-linear, as compositing requires; convert the photos to a space such "
            "as ACEScg",
            parameter="input_space",
        )
    assert SRGB.to_xyz is not None  # it is known
    return Space(name, (), SRGB.to_xyz @ matrix)


def _converted(processor: Any, colours: Any) -> Any:
    """Return colours (n, 3) through a processor of OpenColorIO."""
    rows = np.ascontiguousarray(colours, np.float32)
    processor.applyRGB(rows)
    return rows
