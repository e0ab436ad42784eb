"""Reports say what is right and what is not yet, and an attempt that raises is one that fails."""

from xmkd_lib.exercises import Report, examine


def even(attempt):
    """It is even"""
    return attempt % 2 == 0, f"{attempt} is odd"


def large(attempt):
    """It is above 10"""
    return attempt > 10, f"it is {attempt}"


def test_all_right_is_solved():
    report = examine("A number", 12, even, large)
    assert report.passed
    assert str(report) == "A number: solved.\n✓ It is even\n✓ It is above 10"


def test_the_first_that_fails_ends_the_report_and_says_what_was_seen():
    report = examine("A number", 3, even, large)
    assert not report.passed
    assert str(report) == "A number: not yet.\n✗ It is even (3 is odd)"


def test_an_attempt_that_raises_fails_the_claim_it_was_asked_for():
    report = examine("A number", "seven", large)
    assert not report.passed
    assert "✗ It is above 10 (raised TypeError" in str(report)


def test_no_findings_are_no_pass():
    assert not Report("Nothing", []).passed


def test_a_report_is_shown_with_its_texts_escaped():
    shown = examine("<b>", "<script>", large)._repr_mimebundle_()
    assert "<script>" not in shown["text/html"]
    assert "&lt;b&gt;: not yet." in shown["text/html"]
    assert "not yet" in shown["text/plain"]


def test_an_attempt_that_ends_the_program_or_has_no_words_only_fails():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def raising(error):
        def check(attempt):
            """It runs."""
            raise error

        return check

    assert str(examine("A", None, raising(SystemExit(2)))) == "A: not yet.\n✗ It runs (raised SystemExit: 2)"
    assert str(examine("A", None, raising(Mute()))) == "A: not yet.\n✗ It runs (raised Mute)"
