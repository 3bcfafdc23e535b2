"""A slow and lossy cable between two network namespaces: packets are carried by this process (TUN devices).

It does what `tc netem` does, which needs a kernel module that many machines lack.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
SET_DEVICE, TUN_WITHOUT_HEADER = 0x400454CA, 0x1001  # TUNSETIFF; IFF_TUN | IFF_NO_PI


def end(namespace: str, host: str) -> int:
    """Moves this process into a namespace, makes a device there, and returns its file descriptor."""
    with open(f"/var/run/netns/{namespace}", encoding="utf-8") as place:
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"no way into {namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, SET_DEVICE, struct.pack("16sH", b"cable", TUN_WITHOUT_HEADER))
    subprocess.run(["ip", "addr", "add", f"{host}/24", "dev", "cable"], check=True)
    subprocess.run(["ip", "link", "set", "cable", "up"], check=True)
    return device


def carry(ends: list[int], delay: float, loss: float) -> None:
    """Carries packets between two devices for ever; each is late by `delay` seconds, and a share of them is lost."""
    waiting, others = [], {ends[0]: ends[1], ends[1]: ends[0]}
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for device in select.select(ends, [], [], pause)[0]:
            packet = os.read(device, 65536)
            if random.random() >= loss:
                heapq.heappush(waiting, (time.monotonic() + delay, others[device], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, device, packet = heapq.heappop(waiting)
            os.write(device, packet)


if __name__ == "__main__":
    names, hosts, numbers = sys.argv[1:3], sys.argv[3:5], sys.argv[5:7]
    found = [end(name, host) for name, host in zip(names, hosts, strict=True)]
    print("ready", flush=True)
    carry(found, *map(float, numbers))
