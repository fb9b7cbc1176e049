"""Orders for a nursery: what a child may do, good or bad."""

import json
import os
import subprocess
import sys
import time

from jobs import nursery


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def carry_out(order: dict) -> None:
    order |= json.loads(os.environ.get("TOY", "{}"))
    say(order.get("say", ""), os.getpid(), *(os.listdir("/proc/self/fd") if order.get("files") else ()))
    if order.get("leave"):
        say(subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL).pid)
    if order.get("signal"):
        os.kill(os.getpid(), order["signal"])
    if order.get("wait"):
        time.sleep(600)
    if order.get("fail"):
        raise RuntimeError(order["fail"])


if __name__ == "__main__":
    nursery.serve(carry_out)
