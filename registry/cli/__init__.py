"""The command line."""

import os
import signal
import sys

# While the modules load, Ctrl-C ends df2 at once and without a traceback; afterwards registry.cli.interruption handles
# it. Other programs that import this package keep their own handler.
if os.path.basename("".join(sys.argv[:1])) in ("df2", "-m") and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
