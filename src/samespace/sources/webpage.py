"""HTML: the text that a reader of the page sees, with the lines it stands on."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from samespace.sources.base import Block, Document, Unit

__all__ = ["read"]

_HIDDEN = frozenset({"nav", "noscript", "script", "style", "svg", "template"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LINEWISE = frozenset({"ol", "pre", "table", "ul"})
_PARAGRAPHS = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "legend",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "title",
        "ul",
    }
)
_ROWS = frozenset({"br", "li", "option", "tr"})
_CELLS = frozenset({"td", "th"})
# Content begins here even if a <nav> before it was never closed.
_CONTENT = frozenset({"article", "main"})
_SPACES = re.compile(r"[ \t\r\f\v\n\xa0]+")


def read(text: str) -> Document:
    """Read HTML, closed properly or not. Scripts, styles and navigation are left out."""
    page = _Page()
    page.feed(text)
    page.close()
    page.end_block()
    return Document(page.blocks, page.title)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title: str | None = None
        self._rows: list[tuple[list[str], int]] = []  # of the block that is being read: texts and line
        self._hidden: list[str] = []
        self._linewise: list[str] = []
        self._trail: list[tuple[int, str]] = []
        self._level = 0  # of the heading that is being read
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if self._hidden and tag in _CONTENT and set(self._hidden) == {"nav"}:
            self._hidden.clear()
        if self._hidden or tag in _HIDDEN:
            if tag in _HIDDEN:
                self._hidden.append(tag)
            return
        if tag in _HEADINGS or tag in _PARAGRAPHS:
            self.end_block()
            self._level = _HEADINGS.get(tag, 0)
            self._in_title = tag == "title"
        elif tag in _ROWS:
            self._begin_row(self.getpos()[0])
        elif tag in _CELLS:
            self._add(" ", self.getpos()[0])
        if tag in _LINEWISE:
            self._linewise.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _HIDDEN:  # <script/> opens nothing
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:
                while self._hidden.pop() != tag:
                    pass
            elif tag in {"body", "html"}:
                self._hidden.clear()
            return
        if tag in _HEADINGS or tag in _PARAGRAPHS:
            self.end_block()
        if tag in self._linewise:
            while self._linewise.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        line = self.getpos()[0]
        for number, row in enumerate(data.split("\n")):
            if number:
                self._begin_row(line + number)
            if row:
                self._add(row, line + number)

    def _begin_row(self, line: int) -> None:
        if self._rows and not self._rows[-1][0] and "pre" not in self._linewise:
            self._rows.pop()  # a blank row, which means nothing here
        self._rows.append(([], line))

    def _add(self, text: str, line: int) -> None:
        if self._rows and (self._rows[-1][1] == line or any(part.strip() for part in self._rows[-1][0])):
            self._rows[-1][0].append(text)
        else:
            self._rows.append(([text], line))

    def end_block(self) -> None:
        """Close the block that is being read, if it holds any text."""
        rows = [("".join(parts), line) for parts, line in self._rows]
        if "pre" in self._linewise:
            filled = [number for number, (text, _) in enumerate(rows) if text.strip()]
            rows = [(text.rstrip(), line) for text, line in rows[filled[0] : filled[-1] + 1]] if filled else []
        else:
            rows = [(_SPACES.sub(" ", text).strip(), line) for text, line in rows if text.strip()]
        level, in_title = self._level, self._in_title
        self._rows, self._level, self._in_title = [], 0, False
        if not rows:
            return
        words = " ".join(text for text, _ in rows)
        if in_title:  # the page's name for itself; not a part of what the page shows
            self.title = self.title or words
            return
        if level:
            self._trail = [*((depth, name) for depth, name in self._trail if depth < level), (level, words)]
        unit: Unit = "line" if self._linewise else "sentence"
        self.blocks.append(
            Block(
                "\n".join(text for text, _ in rows),
                tuple(line for _, line in rows),
                tuple(name for _, name in self._trail),
                unit,
                heading=bool(level),
            )
        )
