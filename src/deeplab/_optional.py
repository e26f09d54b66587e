"""Packages that come with an extra are imported through here, inside the function that needs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from deeplab.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, which the extra `extra` of this package brings.

    Raises:
        MissingExtraError: It is not installed, or it is and does not import; the line to run is named.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            message = f"{package} is not installed; run: pip install 'deeplab[{extra}]'"
        else:
            reason = " ".join(str(error).split())
            message = f"{module} does not import ({reason}); run: pip install --upgrade 'deeplab[{extra}]'"
        raise MissingExtraError(message) from error
