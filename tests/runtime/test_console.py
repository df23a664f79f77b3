"""Tables that are wider than what they are printed on."""

import pytest

from distilbert.recipes import page
from distilbert.runtime.console import Console


@pytest.mark.parametrize("columns", [3, 40])
def test_no_number_of_a_table_is_cut(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [[f"{row}.{column:03}" for column in range(columns)] for row in range(2)]
    Console().print_table(page.grid([f"head{i}" for i in range(columns)], rows, "a title"))
    printed = capsys.readouterr().out
    assert all(cell in printed for row in rows for cell in row)
    assert f"head{columns - 1}" in printed


def test_a_table_gives_the_terminal_no_orders(capsys):
    Console().print_table(page.grid(["a\x1b[2J"], [["two\nlines"]], "\x1b]0;b\x07"))
    printed = capsys.readouterr().out
    assert all(cell in printed for cell in (r"a\x1b[2J", r"two\nlines", r"\x1b]0;b\x07"))
