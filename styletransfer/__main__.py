"""`python -m styletransfer`."""

import sys

from styletransfer.cli.paint import main

if __name__ == "__main__":
    sys.exit(main())
