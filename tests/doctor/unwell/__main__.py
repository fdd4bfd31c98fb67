import faulthandler
import json
import os
import signal
import sys
import time

what = sys.argv[1].partition(":")[2]
if what == "crash":
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)
elif what == "hang":
    time.sleep(60)
elif what == "surprise":
    raise RuntimeError("libnothing.so.1: cannot open shared object file")
elif what == "silent":
    sys.exit(3)
print("a library says hello")
print(json.dumps({"state": "runs", "version": "lib 1", "detail": "two\nlines"}))
