import codecs
import html
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samespace.errors import InvalidInput, MissingExtra
from samespace.sources import markdown, pdf, plain, python_code, rst, webpage
from samespace.sources.decoding import decode
from samespace.sources.kinds import KINDS, kind_of


def shape(document):
    return [(block.text, block.lines[0], block.headings) for block in document.blocks]


def test_paragraphs_stand_between_blank_lines():
    assert shape(plain.read_paragraphs("\none\ntwo\n\n \nthree\n")) == [("one\ntwo", 2, ()), ("three", 6, ())]


def test_code_of_any_language_begins_a_block_where_it_is_not_indented():
    text = "int a;\n\nint f() {\n  x;\n\n  y;\n}\n\nint g();\n"
    assert [block.text for block in plain.read_lines(text).blocks] == [
        "int a;",
        "int f() {\n  x;\n\n  y;\n}",
        "int g();",
    ]


def test_markdown_headings_of_both_kinds():
    text = "Title\n=====\n\nIntro.\n\nPart\n----\nText.\n\n### Deep ##\n\n# Last #hash\n"
    document = markdown.read(text)
    assert document.title == "Title"
    assert [block.headings for block in document.blocks] == [
        ("Title",),
        ("Title",),
        ("Title", "Part"),
        ("Title", "Part"),
        ("Title", "Part", "Deep"),
        ("Last #hash",),
    ]
    assert [block.heading for block in document.blocks] == [True, False, True, False, True, True]


def test_markdown_fences_are_whole_and_hide_headings():
    text = "```python\n# no heading\n\nx = 1\n```\nafter\n\n~~~~\n~~~\n# still inside"
    blocks = markdown.read(text).blocks
    assert [(block.text, block.unit) for block in blocks] == [
        ("```python\n# no heading\n\nx = 1\n```", "line"),
        ("after", "sentence"),
        ("~~~~\n~~~\n# still inside", "line"),  # never closed
    ]
    assert all(block.headings == () for block in blocks)


def test_markdown_front_matter_names_the_document():
    document = markdown.read("---\ntitle: 'A name'\ntags: x\n---\n# Heading\n")
    assert document.title == "A name"
    assert document.blocks[0].text.endswith("---")
    assert document.blocks[0].headings == ()


@pytest.mark.parametrize("text", ["---\n", "---", "#", "#\n", "```", "- a\n---\n", "=\n=\n", "\n---\n---"])
def test_markdown_that_is_barely_there(text):
    assert "".join("".join(block.text.split()) for block in markdown.read(text).blocks) == "".join(text.split())


def test_markdown_rule_under_a_list_is_no_heading():
    assert not any(block.heading for block in markdown.read("- item\n---\n\n| a | b |\n---\n").blocks)


def test_rst_sections_take_their_level_from_their_adornment():
    text = "=====\nTitle\n=====\n\nIntro.\n\nPart\n----\n\nText.\n\nDeep\n~~~~\n\nOther\n-----\n\nx\n"
    document = rst.read(text)
    assert document.title == "Title"
    assert [block.headings for block in document.blocks] == [
        ("Title",),
        ("Title",),
        ("Title", "Part"),
        ("Title", "Part"),
        ("Title", "Part", "Deep"),
        ("Title", "Other"),
        ("Title", "Other"),
    ]


def test_rst_literal_blocks_and_directives_are_whole():
    text = "See::\n\n    a = 1\n\n    b = 2\n\nAfter.\n\n.. note::\n   Mind\n\n   this.\n\nEnd."
    blocks = rst.read(text).blocks
    assert [block.text for block in blocks] == [
        "See::\n\n    a = 1\n\n    b = 2",
        "After.",
        ".. note::\n   Mind\n\n   this.",
        "End.",
    ]
    assert blocks[0].unit == "line"


def test_rst_with_two_sections_on_top_has_no_title():
    assert rst.read("One\n===\n\nTwo\n===\n").title is None


HTML = """<!doctype html><html><head><title>The &amp; page</title>
<style>p {color: red}</style><script>var hidden = "<p>no</p>";</script></head>
<body><nav><ul><li>Menu</li></ul></nav>
<h1>Main</h1>
<p>First &eacute;&#33; <b>bold</b>
second line<br>third</p>
<h2>Sub</h2>
<ul>
<li>one</li>
<li>two</li>
</ul>
<pre>
  x = 1

  y = 2
</pre>
<table><tr><td>a</td><td>b</td></tr></table>
</body></html>"""


def test_html_gives_what_a_reader_sees_and_its_lines():
    document = webpage.read(HTML)
    assert document.title == "The & page"
    assert shape(document) == [
        ("Main", 4, ("Main",)),
        ("First é! bold\nsecond line\nthird", 5, ("Main",)),
        ("Sub", 7, ("Main", "Sub")),
        ("one\ntwo", 9, ("Main", "Sub")),
        ("  x = 1\n\n  y = 2", 13, ("Main", "Sub")),
        ("a b", 17, ("Main", "Sub")),
    ]
    assert list(document.blocks[4].lines) == [13, 14, 15]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<div><b>bold</div>after", ["bold", "after"]),
        ("<ul><li>a<li>b", ["a\nb"]),
        ("text <script>never closed <p>x</p>", ["text"]),
        ("<nav>menu<main>content", ["content"]),
        ("<nav>menu</body>content", ["content"]),
        ("</p></ul></nav>ok", ["ok"]),
        ("a < b & c > d", ["a < b & c > d"]),
        ("<p>torn <a href='x", None),  # the parser's versions differ
        ("<!-- never closed <p>x</p>", None),
        ("", []),
        ("<svg/><p>x", ["x"]),
    ],
)
def test_html_that_is_broken(source, expected):
    blocks = [block.text for block in webpage.read(source).blocks]
    assert expected is None or blocks == expected


def test_html_with_much_markup_on_one_line_takes_seconds():
    (block,) = webpage.read("<b>a</b>" * 100_000).blocks
    assert len(block.text) == 100_000


PYTHON = '''"""Module."""
import os

X = 1


# about f
@decorated
def f(x):
    """Doc."""

    return x
class A(B):
    """A class."""

    y = 1

    @property
    def g(self):
        return 1

    async def h(self): ...


if X:
    def late(): pass
print(f(1))
'''


def test_python_definitions_are_blocks_with_their_comments_and_decorators():
    assert shape(python_code.read(PYTHON)) == [
        ('"""Module."""\nimport os', 1, ()),
        ("X = 1", 4, ()),
        ('# about f\n@decorated\ndef f(x):\n    """Doc."""\n\n    return x', 7, ("f",)),
        ('class A(B):\n    """A class."""\n\n    y = 1', 13, ("A",)),
        ("    @property\n    def g(self):\n        return 1", 18, ("A", "g")),
        ("    async def h(self): ...", 22, ("A", "h")),
        ("if X:", 25, ()),
        ("    def late(): pass", 26, ("late",)),
        ("print(f(1))", 27, ()),
    ]


@pytest.mark.parametrize("text", ["def f(:\n  x\n\ny = 1\n", "print 'old'\n", "(" * 500, "x = '\\d'"])
def test_python_that_does_not_parse_is_read_as_any_code(text):
    assert "\n\n".join(block.text for block in python_code.read(text).blocks) == text.strip("\n")


def test_python_strings_that_look_like_comments_lose_nothing():
    text = "if 1:\n    def f():\n        x = '''\n# '''\ndef g(): pass\n"
    assert "".join(block.text for block in python_code.read(text).blocks).count("# '''") == 1


# Encodings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"", "", "utf-8"),
        ("é".encode(), "é", "utf-8"),
        (codecs.BOM_UTF8 + "é".encode(), "é", "utf-8-sig"),
        ("é".encode("utf-16"), "é", "utf-16"),
        (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), "é", "utf-16"),
        ("é".encode("utf-32"), "é", "utf-32"),
        (b"caf\xe9 \x93x\x94", "café \u201cx\u201d", "cp1252"),
        (b"\x81\xe9", "\ufffdé", "cp1252"),
        ("naïve café".encode()[:-1], "naïve caf\ufffd", "utf-8"),  # torn in its last character
        ("é".encode() * 20 + b"\xff", "é" * 20 + "\ufffd", "utf-8"),  # damaged in one place
        (b"a\r\nb\rc", "a\nb\nc", "utf-8"),
        (b"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m", "utf-8"),
        ("odd".encode("utf-16") + b"\0", "odd\ufffd", "utf-16"),
    ],
)
def test_decoding(data, text, encoding):
    assert decode(data) == (text, encoding)


@pytest.mark.parametrize("data", [b"text\0text", bytes(range(256)), b"\x7fELF\x01\x02\x03\x04" * 9])
def test_what_is_binary_is_refused(data):
    with pytest.raises(InvalidInput, match="it is binary"):
        decode(data)


# PDF --------------------------------------------------------------------------------------------------------


def make_pdf(*pages):
    """A PDF by hand: one line of text at a time, no compression."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for page in pages:
        stream = b"BT /F1 12 Tf 14 TL 72 720 Td " + b"".join(
            b"(" + line.encode("ascii") + b") Tj T* " for line in page.split("\n")
        ) + b"ET"  # fmt: skip
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, offsets = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    for offset in offsets:
        out.write(b"%010d 00000 n \n" % offset)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return out.getvalue()


def test_pdf_text_knows_its_page_and_line():
    pytest.importorskip("pypdf")
    blocks = pdf.read(make_pdf("Hello there.\nSecond line.", "Other page.")).blocks
    assert [(block.text, block.page, block.lines[0]) for block in blocks] == [
        ("Hello there.\nSecond line.", 1, 1),
        ("Other page.", 2, 1),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a PDF"),
        (b"no pdf at all", "not a PDF"),
        (make_pdf("Hello.")[:200], "not a PDF|without text"),
        (make_pdf(""), "without text"),
    ],
)
def test_pdf_that_cannot_be_read_says_why(data, reason):
    pytest.importorskip("pypdf")
    with pytest.raises(InvalidInput, match=reason):
        pdf.read(data)


def test_pdf_with_a_password():
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(io.BytesIO(make_pdf("Secret.")))
    writer.encrypt("word", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(InvalidInput, match="wants a password"):
        pdf.read(out.getvalue())


def test_pdf_without_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingExtra, match=r"samespace\[pdf\]"):
        pdf.read(b"")


def test_every_suffix_has_one_kind():
    suffixes = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)
    assert kind_of(Path("A.MD")).name == "Markdown"
    assert kind_of(Path("LICENSE")).name == "plain text"
    assert kind_of(Path("x.rs")).name == kind_of(Path("Makefile")).name == "text"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "div", "h2", "b", "li", "pre", "td", "br", "script", "nav", "ul", "a"]),
            st.text("ab &<\n\u00e9.", max_size=12),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_html_loses_nothing_that_is_seen_and_its_lines_are_right(parts):
    page, seen = [], []
    for tag, text, closed in parts:
        closed = closed or tag in {"script", "nav"}
        shown = text if tag != "script" else text.replace("<", "").replace("&", "")
        body = html.escape(shown) if tag != "script" else shown
        page.append(f"<{tag} class='x\ny'>{body}" + (f"</{tag}>" if closed else ""))
        if tag not in {"script", "nav"}:
            seen.append(shown)
    source = "".join(page)
    blocks = webpage.read(source).blocks
    assert "".join("".join(block.text for block in blocks).split()) == "".join("".join(seen).split())
    rows = [html.unescape(row) for row in source.split("\n")]
    for block in blocks:
        for text, line in zip(block.text.split("\n"), block.lines, strict=True):
            first = text.split()[:1]
            assert not first or first[0][0] in rows[line - 1]
