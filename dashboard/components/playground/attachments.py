"""Files that go along with a prompt, as far as the model reads them, and how they are shown."""

import base64
from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st
from PIL.Image import DecompressionBombError

from core.domain.message import Media
from dashboard import formatting

MAX_MEGABYTES = 20  # what vendors take inside a request
TYPES = {
    "png": ("image", "image/png"), "jpg": ("image", "image/jpeg"), "jpeg": ("image", "image/jpeg"),
    "webp": ("image", "image/webp"), "gif": ("image", "image/gif"), "pdf": ("pdf", "application/pdf"),
    "mp3": ("audio", "audio/mpeg"), "wav": ("audio", "audio/wav"),
}  # fmt: skip


def options(kinds: Collection[str]) -> dict[str, Any]:
    """The files that a field takes for a model that reads these kinds."""
    types = [ending for ending, (kind, _) in TYPES.items() if kind in kinds]
    return {"accept_file": "multiple", "file_type": types, "max_upload_size": MAX_MEGABYTES} if types else {}


def read(files: Sequence[Any]) -> tuple[Media, ...]:
    """Uploaded files as the model gets them."""
    endings = [file.name.rpartition(".")[2].lower() for file in files]
    return tuple(
        Media(TYPES[ending][1], data=base64.b64encode(file.getvalue()).decode())
        for file, ending in zip(files, endings, strict=True)
        if ending in TYPES
    )


def show(media: Media) -> None:
    """A picture or a sound whose bytes are here and can be read; of others what they are."""
    kind = media.media_type.partition("/")[0]
    try:
        if media.data and kind == "image":
            st.image(base64.b64decode(media.data), width=280)
            return
        if media.data and kind == "audio":
            st.audio(base64.b64decode(media.data), format=media.media_type, width=320)
            return
    except (OSError, ValueError, SyntaxError, DecompressionBombError):  # bytes that are no picture: a program sent them
        pass
    size = f", {media.n_bytes / 1000:,.0f} kB" if media.data else " (not stored)" if not media.url else ""
    st.caption(formatting.plain(f"{media.media_type or 'file'}{f' at {media.url}' if media.url else ''}{size}"))
