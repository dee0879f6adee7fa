"""Numbers as people read them, wherever words are made: 99.2%, +16.7, −0.4."""


def percent(share: float, digits: int = 1) -> str:
    """A share as 99.2%; a share of less than all is never shown as 100%, nor one of more than nothing as 0%."""
    if share in (0, 1):
        return f"{100 * share:.0f}%"
    text = f"{100 * share:.{digits}f}"
    if float(text) in (0, 100) and digits < 3:
        return percent(share, digits + 1)
    return f"{text}%"


def signed(value: float, form: str) -> str:
    """A number with its sign as it is printed: + or −; of zero none."""
    text = f"{value:+{form}}".replace("-", "−")
    return text[1:] if not text.strip("+−0.,") else text


def as_size(bytes_: float) -> str:
    """Bytes as 64 GB, in powers of a thousand."""
    for unit in ("B", "kB", "MB"):
        if bytes_ < 1000:
            return f"{bytes_:.3g} {unit}"
        bytes_ /= 1000
    return f"{bytes_:,.1f} GB"
