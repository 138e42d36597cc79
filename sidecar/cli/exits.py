"""How a command ends: its own code, or one sentence on stderr and 1. No traceback for what is not our mistake."""

import sys
from collections.abc import Callable

from sidecar.config.problems import ConfigError
from sidecar.domain.errors import SidecarError


def exit_code(work: Callable[[], int]) -> int:
    """What `work` returns; 1 with its problems or its sentence when it cannot be done; 130 when interrupted."""
    try:
        return work()
    except ConfigError as error:
        print(error.detail, file=sys.stderr)
    except SidecarError as error:
        print(f"sidecar: {error.detail}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1
