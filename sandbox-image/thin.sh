#!/bin/sh
# Take out of the system what untrusted code has no business with. Runs once, in the build.
set -eu
# apt and its keyrings, the account tools, and everything else that could change the system.
rm -rf /usr/bin/apt* /usr/lib/apt /etc/apt /var/lib/apt /var/cache/apt /usr/share/keyrings \
    /usr/bin/dpkg* /var/lib/dpkg/info /usr/bin/perl* /usr/share/perl* /usr/lib/*-linux-gnu/perl* \
    /usr/sbin/*passwd /usr/sbin/user* /usr/sbin/group* /usr/sbin/adduser /usr/sbin/addgroup \
    /usr/sbin/mkfs* /usr/sbin/fsck* /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale \
    /var/log /usr/lib/python3/dist-packages /usr/lib/python3.13/ensurepip /usr/lib/python3.13/idlelib \
    /usr/lib/python3.13/EXTERNALLY-MANAGED /usr/lib/python3.13/test \
    /usr/lib/python3.13/sitecustomize.py /etc/python3.13/sitecustomize.py
mkdir -p /usr/lib/python3/dist-packages /var/log
find /usr/lib/python3.13 -type d -name __pycache__ -prune -exec rm -rf {} +
# No file of the image may raise privileges: not by mode, and file capabilities are lost in the copy.
find / -xdev -perm /6000 -type f -exec chmod ug-s {} +
find / -xdev -perm /6000 -type d -exec chmod ug-s {} +
# Everything that is left of the standard library is compiled now: the root is read-only later.
python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /usr/lib/python3.13
mkdir -p /workspace /inputs /packages
