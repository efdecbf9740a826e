"""The results of checks in JUnit's XML, which CI servers show as tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from registry.checks.run import Result
from registry.wording import plural

#: A character that XML cannot hold, such as most control characters.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_text(results: Sequence[Result]) -> str:
    """Return the results as JUnit XML: a test case a check, failed where its count passes its limit."""
    suite = ET.Element(
        "testsuite",
        name="df2 check",
        tests=str(len(results)),
        failures=str(sum(result.count is not None and not result.passed for result in results)),
        errors=str(sum(bool(result.problem) for result in results)),
        skipped=str(sum(result.passed is None for result in results)),
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname=f"checks.{result.severity}", name=_sound(result.name))
        if result.problem:
            ET.SubElement(case, "error", message=_sound(result.problem))
        elif result.count is None:
            ET.SubElement(case, "skipped", message="a table that it needs is empty")
        else:
            text = count_text(result)
            if not result.passed:
                ET.SubElement(case, "failure", message=text)
            ET.SubElement(case, "system-out").text = text
    ET.indent(suite)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(suite, encoding='unicode')}\n"


def _sound(text: str) -> str:
    """Return a text with U+FFFD for each character that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def count_text(result: Result) -> str:
    """Return the count of a check, its limit and the accepted rows in words."""
    limit = "no limit" if result.limit is None else f"at most {result.limit:,} allowed"
    accepted = f", {result.accepted:,} accepted" if result.accepted else ""
    return f"{plural(result.count or 0, 'row')}, {limit}{accepted}"
