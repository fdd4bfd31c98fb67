#!/bin/sh
# That an image works as its user meets it: check.sh, as litematting, on a read-only file system.
set -eu
test "$(id -u)" = 10001
for folder in / /opt/litematting /data /tmp; do
    if touch "$folder/written" 2> /dev/null; then
        echo "$folder can be written to" >&2
        exit 1
    fi
done
ltm-doctor
assets=$(python -c 'import litematting_deploy.assets as assets; print(*assets.__path__)')
ltm-infer "$assets/dandelion.jpg" "$assets/dandelion_trimap.png" -o /cache/alpha.png
if python -c 'import uvicorn' 2> /dev/null; then # the extra serve
    ltm-serve --port 18765 &
    trap 'kill $!' EXIT
    python -c '
import time, urllib.error, urllib.request
for attempt in range(100):
    try:
        urllib.request.urlopen("http://127.0.0.1:18765/healthz")
        break
    except urllib.error.URLError:
        time.sleep(0.3)
else:
    raise SystemExit("ltm-serve does not answer")'
fi
python -c 'from PIL import Image; print(Image.open("/cache/alpha.png").size)'
