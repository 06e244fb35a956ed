# SPDX-License-Identifier: MIT
"""Running the program with the proxies of drivers' loaders (tests/faults/faults.h)."""
import os
import re
import subprocess


def real_loaders():
    """Where the loaders are that the proxies stand for."""
    listed = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=True).stdout
    paths = {name: re.search(r"^\s*lib%s\.so\.1 .* => (\S+)$" % name, listed, re.M) for name in ("OpenCL", "vulkan")}
    return {"HSAE_REAL_" + name: found.group(1) for name, found in paths.items() if found}


REAL = real_loaders()


class Proxy:
    """`folder` holds the proxies, `device` is the one whose driver has the faults."""

    def __init__(self, folder, device):
        self.folder = folder
        self.loader = {"opencl": "OpenCL", "vulkan": "vulkan"}[device.split(":")[0]]
        self.exists = "HSAE_REAL_" + self.loader in REAL

    def environment(self, fault=None, count=None):
        """`fault` is "N KIND", `count` the file that gets the number of calls; with neither, the real drivers."""
        elsewhere = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path and not os.path.samefile(path, self.folder)]
        if not fault and not count:
            return {"LD_LIBRARY_PATH": ":".join(elsewhere)}
        environment = {**REAL, "LD_LIBRARY_PATH": ":".join([self.folder, *elsewhere]), "HSAE_FAULT": "%s %s" % (self.loader, fault or "0 none")}
        return {**environment, "HSAE_FAULT_COUNT": str(count)} if count else environment
