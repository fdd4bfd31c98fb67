"""Put first on PYTHONPATH, notes in the file LTM_CONNECTIONS whom the process asks about or connects to."""

import os
import sys


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["LTM_CONNECTIONS"], "a") as file:
            file.write(f"{event} {arguments[1:] if event == 'socket.connect' else arguments}\n")


sys.addaudithook(_note)
