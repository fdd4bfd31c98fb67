#!/bin/sh
# What an image consists of, beyond a Debian with Python: install.sh EXTRAS, as root, in the image that is made.
# /opt/litematting: the package with these extras. litematting: the user who runs it, unless the owner of the photos
# does. /cache: the one folder that is written to. /data: where photos are mounted.
set -eu
extras=$1
source=$(cd "$(dirname "$0")/.." && pwd)
python3 -m venv /opt/litematting
/opt/litematting/bin/pip install --no-cache-dir --disable-pip-version-check "$source[$extras]"
groupadd --gid 10001 litematting
useradd --uid 10001 --gid litematting --home-dir /cache --no-create-home --shell /usr/sbin/nologin litematting
install -d -m 1777 /cache
install -d /data
