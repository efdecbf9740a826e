"""Code blocks of Markdown pages, with the output that the page shows for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

#: A comment on the line before a block, such as ``<!-- test: not run: needs a GPU -->``.
_REMARK = re.compile(r"<!-- test: (.*?) -->\s*\Z", re.DOTALL)
#: Name of the file that a reader saves the block in: ``title="embed.py"``, as mkdocs shows it.
_TITLE = re.compile(r'\btitle="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a Markdown page.

    Attributes:
        path: the page.
        line: number of the first line of the text, from 1.
        language: first word behind the fence (``sh``, ``python``, ``sql``, ``text``, ...), or an empty text.
        title: file that the text is saved in, or None for a block to run.
        text: the lines between the fences.
        output: text of a ``text`` block that follows at once, or None.
        remark: text of the comment ``<!-- test: ... -->`` before the block, or an empty text.
    """

    path: Path
    line: int
    language: str
    title: str | None
    text: str
    output: str | None
    remark: str

    @property
    def place(self) -> str:
        """File and line, as editors and terminals take them."""
        return f"{self.path}:{self.line}"


def read_blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order. The output of a block is no block."""
    tokens = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
    blocks = []
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        if token.type != "fence" or _is_output(token.info, before):
            continue
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        remark = _REMARK.search(before.content) if before is not None and before.type == "html_block" else None
        title = _TITLE.search(token.info)
        assert token.map is not None
        blocks.append(
            Block(
                path=path,
                line=token.map[0] + 2,
                language=(token.info.split() or [""])[0],
                title=title[1] if title else None,
                text=token.content,
                output=after.content if after is not None and _is_output(after.info, token) else None,
                remark=remark[1] if remark else "",
            )
        )
    return blocks


def _is_output(info: str, before: object) -> bool:
    """Return whether a fence with this info is the output of the token before it."""
    return info == "text" and getattr(before, "type", None) == "fence" and getattr(before, "info", "") != "text"


def shows(output: str, real: str) -> bool:
    """Return whether the output on a page agrees with the real output.

    A line ``...`` stands for any lines, and ``...`` within a line for any characters. Spaces at the end of lines and
    empty lines do not count.
    """
    pattern = ""
    for line in _lines(output):
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.split("..."))) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(real))) is not None


def _lines(text: str) -> list[str]:
    """Return the lines of a text that are not empty, without spaces at their ends."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]
