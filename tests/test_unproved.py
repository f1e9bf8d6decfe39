"""The end of a run lists each test whose requirements the machine lacks."""

import pytest

from api.settings import ROOT


def test_what_a_run_did_not_prove_is_listed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each marked test is listed with its reason, in one worker or in several; other skipped tests are not."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # The plugins of other packages take most of the time of such a small run.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("""
        import pytest
        from tests.support.unproved import unproved

        @unproved("there is no article")
        def test_article(): ...

        @pytest.mark.skip("another reason")
        def test_another(): ...
    """)
    for options in ((), ("-p", "xdist", "-n", "1")):
        result = pytester.runpytest_subprocess("-p", "tests.support.unproved", *options)
        result.stdout.fnmatch_lines(["*THIS RUN DID NOT PROVE*", "*::test_article: there is no article"])
        result.stdout.no_fnmatch_line("*::test_another: *")
