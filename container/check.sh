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
python -c 'from PIL import Image; print(Image.open("/cache/alpha.png").size)'
