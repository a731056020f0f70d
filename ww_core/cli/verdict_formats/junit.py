"""A verdict as JUnit's XML, which CI servers show as tests: one test case for each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ww_core.command import printable

if TYPE_CHECKING:
    from ww_core.command import Output
    from ww_core.domain.rules.verdict import CheckReport, Verdict

SUITE = "ww check"


def print_junit(report: CheckReport, output: Output) -> None:
    """Print a verdict as JUnit's XML."""
    output.text(junit_text(report))


def junit_text(report: CheckReport) -> str:
    """Return a verdict as JUnit's XML, in ASCII: names of layers may hold anything, and XML may not."""
    counts = {
        "tests": str(len(report.verdicts)),
        "failures": str(sum(not own.passed for own in report.verdicts)),
        "errors": "0",
        "skipped": str(sum(own.word == "skipped" for own in report.verdicts)),
    }
    suites = ET.Element("testsuites", {"name": SUITE} | counts)
    suite = ET.SubElement(suites, "testsuite", {"name": f"{SUITE} {printable(report.title)}"} | counts)
    for verdict in report.verdicts:
        suite.append(_case(verdict, report))
    ET.indent(suites)
    content: bytes = ET.tostring(suites, encoding="us-ascii", xml_declaration=True)
    return content.decode("ascii") + "\n"


def _case(verdict: Verdict, report: CheckReport) -> ET.Element:
    case = ET.Element("testcase", classname=printable(report.candidate.name), name=printable(str(verdict.rule)))
    if verdict.broken:
        count = len(verdict.broken)
        more = f" (and {count - 1} more)" if count > 1 else ""
        failure = ET.SubElement(case, "failure", type="broken", message=printable(str(verdict.broken[0])) + more)
        failure.text = "\n".join(printable(str(own)) for own in verdict.broken)
    elif verdict.word == "skipped":
        ET.SubElement(case, "skipped", message=verdict.measured)
    elif verdict.measured:
        ET.SubElement(case, "system-out").text = printable(verdict.measured)
    return case
