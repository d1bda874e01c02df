"""The tests of this folder run on many wrong generators, most of whose time a compiler takes."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _compiled_in_less_time():
    """By -O1, in a third of the time: no bit depends on it, as test_optimization_changes_no_bit shows."""
    from rowfold.runtime import compiler

    if compiler.find() is None:
        pytest.skip("no C compiler here")
    whole = compiler.command_line
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "command_line", lambda *given: (*whole(*given), "-O1"))
        yield
