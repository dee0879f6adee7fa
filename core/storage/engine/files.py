"""Files and folders that only their owner may read: they hold prompts, answers and what was spent."""

import contextlib
import os
from pathlib import Path

_ASIDE = ("-wal", "-shm", "-journal")


def private_folder(path: Path) -> None:
    """Make a folder and what is missing above it; one that is there stays as it is."""
    for folder in (*reversed(path.parents), path):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def private_database(path: Path) -> None:
    """Make the empty file of a new database, or tighten one that is there with the files beside it.

    SQLite gives the files beside it the mode of the file itself. An existing one must not be opened here: closing it
    would drop the locks that this process holds on it.
    """
    path = Path(os.path.realpath(path))
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        for each in (path, *(path.with_name(path.name + end) for end in _ASIDE)):
            with contextlib.suppress(FileNotFoundError, PermissionError):  # another's file is theirs to tighten
                mode = each.stat().st_mode
                if each.is_file() and mode & 0o077:
                    each.chmod(mode & 0o700)


def private_opener(path: str, flags: int) -> int:
    """For `open`: a new file is its owner's alone."""
    return os.open(path, flags, 0o600)
