"""An HTML mail's page as text."""

import re
from html.parser import HTMLParser


def page_to_text(page: str) -> str:
    """What a page says: one line a block, "> " before what it quotes, without scripts and styles."""
    reader = _Page()
    try:
        reader.feed(page)
        reader.close()
    except (ValueError, AssertionError):  # Malformed declarations; what was read before them is kept.
        pass
    return reader.text()


class _Page(HTMLParser):
    APART = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "table", "ul", "ol", "blockquote", "dl"))
    BLOCKS = APART | {"body", "br", "center", "dd", "div", "dt", "form", "li", "pre", "section", "td", "th", "tr"}
    SILENT = frozenset(("script", "style", "title", "noscript", "template"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[tuple[int, list[str]]] = [(0, [])]
        self.depth = 0
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.SILENT:
            self.silent += 1
        self._break(tag, 1)
        if tag == "li":
            self.lines[-1][1].append("* ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self.silent = max(0, self.silent - 1)
        self._break(tag, -1)

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.lines[-1][1].append(data)

    def _break(self, tag: str, by: int) -> None:
        if tag == "blockquote":
            self.depth = max(0, self.depth + by)
        if tag in self.BLOCKS:
            if tag in self.APART:
                self.lines.append((self.depth, []))
            self.lines.append((self.depth, []))

    def text(self) -> str:
        joined = [("> " * depth, " ".join("".join(pieces).split())) for depth, pieces in self.lines]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line and quote + line for quote, line in joined)).strip()
