"""Sources of settings: the environment, the file `.env`, and files of secrets."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

#: The values that are set in one place, by name.
Source: TypeAlias = Mapping[str, str]


def read_sources(environ: Mapping[str, str], dotenv: Path | None) -> tuple[Source, ...]:
    """Return the sources; each wins over those after it. Raises ValueError with a sentence."""
    return _set_values(environ), _set_values(_read_dotenv(dotenv))


def find(name: str, sources: Iterable[Source], *, secret: bool) -> str | None:
    """The setting's text in the first source that has it, ``None`` without.

    A secret may be in a file instead, whose path is ``NAME_FILE``: so do Docker's secrets and systemd's credentials
    come. Raises ValueError with the rest of the sentence that begins with the name.
    """
    for source in sources:
        path = source.get(f"{name}_FILE") if secret else None
        if path is not None and name in source:
            raise ValueError(f"and {name}_FILE are both set: one has to go")
        if path is not None:
            return _read_secret(Path(path.strip()))
        if name in source:
            return source[name]
    return None


def _read_secret(path: Path) -> str:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"  # and so is not quoted
        raise ValueError(f"cannot be read from {path}: {reason}") from None
    if not text.strip():
        raise ValueError(f"cannot be read from {path}: it is empty")
    return text


def _set_values(source: Mapping[str, str | None]) -> Source:
    """Leave out the names without a value: Compose and shells pass unset variables as empty ones."""
    return {name: text for name, text in source.items() if text and text.strip()}


def _read_dotenv(path: Path | None) -> Mapping[str, str | None]:
    """Read the file if there is one; `$` in a value is itself, so that passwords need no escaping."""
    if path is None or not path.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - a quarter of the time that importing `config` takes

    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
