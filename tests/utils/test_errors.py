"""How entry points end."""

import pytest

from vmc.utils.errors import VmcError, causes, print_errors


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(VmcError("x is 1; give 2"), 2, "x is 1; give 2\n"), (KeyboardInterrupt(), 130, "interrupted; the same command")],
)
def test_an_entry_point_ends_with_a_sentence_and_its_status(error, status, words, capsys):
    @print_errors
    def main() -> int:
        raise error

    assert main() == status
    assert capsys.readouterr().err.startswith(words)


def test_errors_that_name_one_another_are_given_once():
    first, second = ValueError("first"), VmcError("second")
    first.__cause__, second.__cause__ = second, first
    assert list(causes(first)) == [first, second]
