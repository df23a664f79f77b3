"""Several runs of the command, one after the other, in the processes of one torchrun."""

import json
import sys

from distilbert import cli

if __name__ == "__main__":
    for command in json.loads(sys.argv[1]):
        code = cli.main(command)
        if code:
            sys.exit(code)
