"""The data folder and the admin key that `sidecar run` keeps in it; the command line finds the key there.

Both are for their owner's eyes only: the folder has mode 0700, the key's file 0600.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from sidecar.config.settings import Settings
from sidecar.config.values import admin_key as malformed
from sidecar.domain.errors import StartupError

KEY_FILE: Final = "admin-key"


def data_dir(settings: Settings) -> Path:
    """The data folder, absolute; it may not exist yet."""
    if settings.data.dir:
        return Path(settings.data.dir).absolute()
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "sidecar"


def make_data_dir(settings: Settings) -> Path:
    """The data folder, made if it does not exist; StartupError when it cannot be."""
    folder = data_dir(settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"The data folder {folder} cannot be made: {error.strerror}; name another one with --data."
        ) from error
    return folder


def archive_url(settings: Settings) -> str:
    """Where the archive is: as set, else SQLite in the data folder, which is made if it does not exist."""
    return settings.archive.url or f"sqlite:///{make_data_dir(settings) / 'archive.db'}"


def spool_dir(settings: Settings) -> Path:
    """Where charges are kept, apart by tenant and environment; it may not exist yet."""
    base = Path(settings.spool.dir).absolute() if settings.spool.dir else data_dir(settings) / "spool"
    return base / f"{settings.tenant}.{settings.environment}"


def find_admin_key(settings: Settings) -> str | None:
    """The first admin key: from the settings, else from the data folder, else None.

    StartupError: it cannot be read, is none, or is that of another environment than the settings'.
    """
    key, prefix = usable_admin_key(settings), f"ck_{settings.environment}_"
    if key is not None and not key.startswith(prefix):
        raise StartupError(
            f"{data_dir(settings) / KEY_FILE} holds the admin key of another environment, not {prefix}…; "
            "set `environment` to that one, or name another data folder with --data."
        )
    return key


def usable_admin_key(settings: Settings) -> str | None:
    """The same for who only calls, whichever environment it is of: the key says that itself."""
    if settings.admin.key:
        return settings.admin.key
    file = data_dir(settings) / KEY_FILE
    try:
        key = file.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise StartupError(f"The admin key in {file} cannot be read: {error}.") from error
    if not key or malformed(key):
        raise StartupError(f"{file} does not hold an admin key (ck_…); move it away to have a new one made.")
    return key


def ensure_admin_key(settings: Settings) -> tuple[str, bool]:
    """The admin key, and whether it was made just now: then the data folder keeps it. StartupError as above."""
    key = find_admin_key(settings)
    if key is not None:
        return key, False
    file = make_data_dir(settings) / KEY_FILE
    key = f"ck_{settings.environment}_{secrets.token_urlsafe(32)}"
    draft = file.with_name(f"{KEY_FILE}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(f"{key}\n", "ascii")
        # A link appears whole or not at all, and never replaces what another process made meanwhile.
        os.link(draft, file)
    except FileExistsError:
        key = find_admin_key(settings) or key
    except OSError as error:
        raise StartupError(f"The admin key cannot be written to {file}: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return key, True
