"""`python -m fastmom` is the `fastmom` command."""

import sys

from fastmom.cli import main

sys.exit(main())
