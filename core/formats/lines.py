"""Lines of what comes in parts, each part looked at once however long a line is."""


class LineSplitter:
    """Splits at line feeds alone: the other line breaks of Unicode may stand in a text of JSON.

    n_held: The bytes of the line that has not ended.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self.n_held = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end in this part, without their ends."""
        first, *others = piece.split(b"\n")
        self._held.append(first)
        self.n_held += len(first)
        if not others:
            return []
        ended = [self.rest(), *others[:-1]]
        self._held, self.n_held = [others[-1]], len(others[-1])
        return ended

    def rest(self) -> bytes:
        """The line that has not ended."""
        return b"".join(self._held)
