"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..errors import Errors


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it if the block ends well.

    Whatever goes wrong in the block (a full disk, an interrupt), an earlier file at ``path``
    stays, whole.

    Raises:
        OSError: SM047, with the reason, if the system refuses to write.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The kernel applies the umask, so the file has the mode of any other new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(Errors.SM047.format(path=path, reason=error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
