"""What Ctrl-C does to a call, seen from another process."""

import signal
import subprocess
import sys
import time


def seconds_to_stop(code):
    """Of a program that says "ready" before a long call: from the signal to its end, with that of its interpreter."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        start = time.perf_counter()
        child.send_signal(signal.SIGINT)
        error = child.communicate()[1]
        taken = time.perf_counter() - start
    assert b"KeyboardInterrupt" in error
    return taken
