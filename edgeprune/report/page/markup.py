"""HTML as nested calls: text is escaped, what an element returns is not escaped again."""

from __future__ import annotations

from html import escape

WORDY = 24  # characters of a cell that is given room
VOID = ("meta", "link")  # have no end


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *inside: str, **attributes: str | float | None) -> Html:
    """An element; a trailing underscore of an attribute falls away, the others become hyphens, None leaves it out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items() if value is not None
    )
    return Html(f"<{name}{said}>" if name in VOID else f"<{name}{said}>{joined(*inside)}</{name}>")


def joined(*parts: str) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(head: list[str], rows: list[list[str]], *, words: int = 1, class_: str | None = None) -> Html:
    """A table that scrolls by itself where it is too wide; all columns after the first `words` hold numbers."""

    def look(i: int, cell: str) -> str | None:
        if i >= words:
            return "n"
        return "wordy" if i and len(cell) > WORDY and not isinstance(cell, Html) else None

    def cells(kind: str, row: list[str]) -> Html:
        return element("tr", *(element(kind, cell, class_=look(i, cell)) for i, cell in enumerate(row)))

    body = element("tbody", *(cells("td", row) for row in rows))
    whole = element("table", element("thead", cells("th", head)), body, class_=class_)
    return element("div", whole, class_="wide", tabindex=0)
