"""Where tables and progress are written."""

from rich.console import Console as RichConsole
from rich.measure import Measurement
from rich.table import Table

_ANY_WIDTH = 10_000


class Console(RichConsole):
    """rich's, which would end the process when whoever reads it has gone.

    Standard error then says no more, and the work goes on; standard output tells its caller.
    """

    def print_table(self, table: Table) -> None:
        """Print a table with all of its numbers: a terminal wraps lines, a file has no width."""
        needed = Measurement.get(self, self.options.update(max_width=_ANY_WIDTH), table).maximum
        self.width = max(self.width, needed)
        self.print(table)

    def on_broken_pipe(self) -> None:
        """Do as the class says.

        Raises:
            BrokenPipeError: it is standard output.
        """
        self.quiet = True
        if not self.stderr:
            raise BrokenPipeError
