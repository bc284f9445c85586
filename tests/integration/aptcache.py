# SPDX-License-Identifier: MIT
"""The cache that apt makes of its lists."""
import functools
import os
import subprocess

import tap


@functools.cache
def keep_cache():
    """Images of containers tell apt to keep none, so that each of its runs reads all lists anew. In the room it does keep one."""
    if os.geteuid() == 0 and tap.room.inside() and os.path.isdir("/etc/apt/apt.conf.d"):
        with open("/etc/apt/apt.conf.d/zz-story", "w", encoding="ascii") as file:
            file.write('Dir::Cache::pkgcache "pkgcache.bin";\nDir::Cache::srcpkgcache "srcpkgcache.bin";\n')
        subprocess.run(["apt-cache", "gencaches"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
