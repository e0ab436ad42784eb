"""What the checks of the notebooks' exercises share: they say what is right and what is not yet, and never raise."""

import html
from collections.abc import Callable
from typing import Any, NamedTuple

Outcome = tuple[bool, str]  # whether an attempt passes, and what it does instead
Check = Callable[[Any], Outcome]


class Finding(NamedTuple):
    """One thing that a solution must do, and whether it does; `seen` says what it does instead."""

    claim: str
    passed: bool
    seen: str = ""


class Report:
    """The findings on one attempt, shown as a list; `passed` where there are some and all are right."""

    def __init__(self, title: str, findings: list[Finding]):
        self.title, self.findings = title, findings

    @property
    def passed(self) -> bool:
        return bool(self.findings) and all(finding.passed for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join([f"{self.title}: {self._verdict}", *(_line(finding) for finding in self.findings)])

    @property
    def _verdict(self) -> str:
        return "solved." if self.passed else "not yet."

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        rows = "".join(f"<li style='list-style:none'>{html.escape(_line(finding))}</li>" for finding in self.findings)
        head = html.escape(f"{self.title}: {self._verdict}")
        return {"text/html": f"<b>{head}</b><ul>{rows}</ul>", "text/plain": str(self)}


def examine(title: str, attempt: Any, *checks: Check) -> Report:
    """Hold an attempt against each check in turn; the first that it fails, or makes raise, ends the examination.

    attempt: what the reader has written: a function, a value. A check's claim is the first line of its docstring.
    """
    findings = []
    for check in checks:
        try:
            outcome = check(attempt)
        except (Exception, SystemExit) as error:  # the reader's own code may raise anything, and call exit()
            outcome = False, f"raised {_in_words(error)}"
        findings.append(Finding(_claim(check), *outcome))
        if not findings[-1].passed:
            break
    return Report(title, findings)


def unfilled(value: Any) -> bool:
    """Whether a stub has returned nothing yet."""
    return value is None or value is ...


def _claim(check: Check) -> str:
    return check.__doc__.splitlines()[0].rstrip(".")


def _in_words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # an exception of the reader's own may have no words
        return type(error).__name__


def _line(finding: Finding) -> str:
    mark = "✓" if finding.passed else "✗"
    return f"{mark} {finding.claim}" + (f" ({finding.seen})" if finding.seen and not finding.passed else "")
