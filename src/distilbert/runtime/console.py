"""Where tables and progress are written."""

from rich.console import Console as RichConsole


class Console(RichConsole):
    """rich's, which would end the process when whoever reads it has gone.

    Standard error then says no more, and the work goes on; standard output tells its caller.
    """

    def on_broken_pipe(self) -> None:
        """Do as the class says.

        Raises:
            BrokenPipeError: it is standard output.
        """
        self.quiet = True
        if not self.stderr:
            raise BrokenPipeError
