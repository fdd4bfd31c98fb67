#!/bin/sh
# fresh_root.sh FOLDER REPOSITORY: what `docker build` and `docker run --read-only` do, in a root below FOLDER, which has
# nothing of this machine but its /usr, read-only, and what pip needs of /etc. To be run by root, in namespaces of its own.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1/root
repository=$2
mkdir "$root"
mount -t tmpfs -o size=6g,mode=755 fresh "$root"
cd "$root"
mkdir usr etc proc dev tmp opt source run root
chmod 1777 tmp
mount --bind /usr usr
mount -o remount,bind,ro usr
for name in bin sbin lib lib64; do ln -s "usr/$name" "$name"; done
for name in passwd group shadow gshadow login.defs hosts resolv.conf nsswitch.conf ld.so.cache ssl pip.conf; do
    test ! -e "/etc/$name" || cp -rL "/etc/$name" etc/ 2> /dev/null || true
done
mount -t proc proc proc
for name in null zero urandom; do touch "dev/$name" && mount --bind "/dev/$name" "dev/$name"; done
cp -r "$repository/container" source/
for name in $(sed -n 's/^!//p' "$repository/.dockerignore"); do cp -r "$repository/$name" source/; done

# The image, as the Dockerfile's RUN makes it.
chroot . sh /source/container/install.sh "$(sed -n 's/^ARG EXTRAS=//p' "$repository/Dockerfile")"
cp source/container/check.sh check.sh
rm -rf source tmp/* root/.cache

# A container of it: read-only but for a volume, and its user, who has no rights and gets none.
mount -t tmpfs -o size=1g,mode=1777 volume cache
mount -o remount,bind,ro .
cd "$root"
exec chroot . setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
    env -i PATH=/opt/litematting/bin:/usr/bin:/bin XDG_CACHE_HOME=/cache TMPDIR=/cache HOME=/cache \
    PYTHONDONTWRITEBYTECODE=1 sh /check.sh
