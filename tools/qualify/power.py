# SPDX-License-Identifier: MIT
"""Power of a device while something runs: NVIDIA's tool, a GPU's sensor (hwmon), or the energy counter of a processor."""
import pathlib
import shutil
import subprocess
import threading
import time

SECONDS = 0.5  # between readings


def read_number(path):
    try:
        return float(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return None


def nvidia_watts():
    done = subprocess.run(["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, timeout=10)
    try:
        return float(done.stdout.splitlines()[0])
    except (IndexError, ValueError):
        return None


def find_sensor():
    """Of a GPU whose kernel driver has one."""
    paths = sorted(path for name in ("power1_average", "power1_input") for path in pathlib.Path("/sys/class/drm").glob("card*/device/hwmon/*/" + name))
    return paths[0] if paths else None


class Power:
    """with Power(device) as power: …; power.watts() is then the mean, None where nothing can be read."""

    def __init__(self, device):
        self.readings, self.done, self.thread, self.energy = [], threading.Event(), None, None
        sensor, counter = find_sensor(), pathlib.Path("/sys/class/powercap/intel-rapl:0/energy_uj")
        self.source = self.read = None
        if device["type"] == "cpu":
            if read_number(counter) is not None:
                self.source, self.counter = "processor", counter
        elif "nvidia" in (device["name"] + device["driver"]).lower() and shutil.which("nvidia-smi"):
            self.source, self.read = "nvidia-smi", nvidia_watts
        elif sensor:
            self.source, self.read = "sensor of the GPU", lambda: (read_number(sensor) or 0) / 1e6 or None

    def collect(self):
        while not self.done.wait(SECONDS):
            watts = self.read()
            if watts is not None:
                self.readings.append(watts)

    def __enter__(self):
        self.begun = time.monotonic()
        if self.source == "processor":
            self.energy = read_number(self.counter)
        elif self.source:
            self.thread = threading.Thread(target=self.collect, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.seconds = time.monotonic() - self.begun
        if self.source == "processor":
            end = read_number(self.counter)
            if end is not None and end > self.energy:  # the counter has not begun anew
                self.readings.append((end - self.energy) / 1e6 / self.seconds)
        elif self.thread:
            self.done.set()
            self.thread.join()

    def watts(self):
        return sum(self.readings) / len(self.readings) if self.readings else None
