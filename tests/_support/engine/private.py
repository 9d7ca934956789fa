"""A second Docker daemon, for tests that do to it what the one of others must not suffer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil

START_TIMEOUT_S = 60.0


def why_not() -> str | None:
    """Return why this machine cannot run a second daemon, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("dockerd", "ip"):
        if shutil.which(program) is None:
            return f"needs {program}"
    return None


class PrivateEngine:
    """A daemon with its own data, socket, processes and bridge.

    The bridge is its own because a daemon without one (``--bridge none``) deletes ``docker0``, and
    with it the default network of the engine that others use.

    Args:
        home: an empty directory with a short path (it holds sockets).
        options: further options of its command line.
    """

    def __init__(self, home: Path, *options: str) -> None:
        self.address = f"unix://{home}/docker.sock"
        self._home = home
        self._log = home / "dockerd.log"
        self._namespace = home / "exec" / "netns" / "default"
        self._bridge = f"dwt{os.getpid()}"
        subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=True)
        address = f"10.214.{os.getpid() % 254 + 1}.1/24"  # several may run at once
        subprocess.run(["ip", "address", "add", address, "dev", self._bridge], check=True)
        self._command = [
            *("dockerd", "--host", self.address, *options),
            *("--data-root", str(home / "data"), "--exec-root", str(home / "exec")),
            *("--pidfile", str(home / "pid"), "--bridge", self._bridge, "--iptables=false"),
        ]
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def restart(self) -> None:
        """Restart the daemon, as an upgrade of it does."""
        self._process.terminate()
        self._process.wait(timeout=60)
        self._process = self._started()
        self.wait_until_it_answers()

    def stop_for(self, seconds: float) -> None:
        """Have the daemon answer nobody for some time: it is stopped, and goes on afterwards."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)  # this is what is tested: nothing can be waited for instead
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()
            if self.run("docker", "version").returncode == 0:
                return
        raise AssertionError(f"dockerd does not answer:\n{self._log.read_text()}")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command for which this is the engine."""
        variables = {**os.environ, "DOCKER_HOST": self.address, **environment}
        return subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=110, check=False
        )

    def load(self, image: str) -> None:
        """Copy an image from the default engine."""
        saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
        with saved:
            subprocess.run(
                ["docker", "--host", self.address, "load", "--quiet"],
                stdin=saved.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=110,
            )

    def close(self) -> None:
        # Ended with a container that runs, the daemon may leave the process that keeps it.
        self.run("sh", "-c", "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force")
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for shim in psutil.process_iter(["cmdline"]):
            if any(str(self._home) in word for word in shim.info["cmdline"] or ()):
                shim.kill()  # of a container that the daemon has forgotten
        subprocess.run(["ip", "link", "delete", self._bridge], check=True)
        # The daemon leaves this mount, and nobody could delete the directory.
        subprocess.run(["umount", str(self._namespace)], capture_output=True, check=False)
