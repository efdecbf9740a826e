"""The command line."""

import os
import signal
import sys

# While the modules load, Ctrl-C ends the command at once: nothing has begun, and a traceback would say nothing.
# registry.cli.interruption takes over. Only in a process of ours: others decide about signals themselves.
if os.path.basename("".join(sys.argv[:1])) in ("df2", "-m") and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
