"""How a text from elsewhere and a number of bytes are shown. Decides no words, and refuses to know what they are of."""


def printable(value: object, longest: int = 200) -> str:
    """At most `longest` characters, none of which moves a cursor, turns text around or ends a line."""
    text = str(value)[:longest]
    return "".join(c if c.isprintable() else "?" for c in text)


def size(count: object) -> str:
    """Bytes in decimal units with three digits: `1.23 MB`."""
    if not isinstance(count, int | float):
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
