"""Two network namespaces of this machine, joined by a virtual cable: two machines, as far as a job can tell."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HOSTS = ("10.213.7.1", "10.213.7.2")


class Machines:
    """Two namespaces and the cable between them.

    Attributes:
        names: of the namespaces; `command(i)` begins a command line that runs in the i-th.
    """

    def __init__(self, names: tuple[str, str]):
        self.names = names

    def command(self, index: int) -> list[str]:
        return ["ip", "netns", "exec", self.names[index]]

    def cable(self, state: str) -> None:
        """Sets the cable "up" or "down"."""
        for name in self.names:
            ip("-n", name, "link", "set", "cable", state)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def why_not() -> str | None:
    """Returns why this machine cannot have namespaces, or None if it can."""
    if not shutil.which("ip") or not Path("/dev/net/tun").exists():
        return "there is no `ip` (iproute2), or no /dev/net/tun"
    name = f"kerasnets-{os.getpid()}-try"
    try:
        ip("netns", "add", name)
        ip("netns", "exec", name, "true")
    except subprocess.CalledProcessError as error:
        return f"no right to make network namespaces: {error.stderr.decode().strip()}"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return None


@contextlib.contextmanager
def two_machines(delay: float | None = None, loss: float = 0.0) -> Iterator[Machines]:
    """Yields two machines.

    Args:
        delay: seconds that a packet takes; `None` for a cable without delay and loss, which can be cut.
        loss: the share of packets that are lost.
    """
    names = tuple(f"kerasnets-{os.getpid()}-{number}" for number in (1, 2))
    with contextlib.ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        machines = Machines(names)
        if delay is None:
            ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
            for name, host in zip(names, HOSTS, strict=True):
                ip("-n", name, "addr", "add", f"{host}/24", "dev", "cable")
            machines.cable("up")
        else:
            command = [
                sys.executable,
                str(Path(__file__).parent / "slow_cable.py"),
                *names,
                *HOSTS,
                str(delay),
                str(loss),
            ]
            cable = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(cable.kill)
            if not cable.stdout.readline():
                raise RuntimeError("The slow cable could not be made.")
        yield machines
