"""Follows what the `file` sink appends, also when it is rotated: file_tail.py PATH STORE.

Its place, inode and offset, is kept in the transaction that takes the receipts. A rotated file must stay beside PATH,
uncompressed, until it has been read to its end.
"""
import glob
import json
import os
import sys
import time

from store import Store

path, store = sys.argv[1], Store(sys.argv[2])


def open_inode(inode):
    """The file with this inode, under whatever name it has by now."""
    for name in glob.glob(glob.escape(path) + "*"):
        file = open(name, "rb")
        if os.fstat(file.fileno()).st_ino == inode:
            return file
        file.close()
    sys.exit(f"{path}: the file that was being read has gone; what was left of it is lost here. Replay it, or begin anew")


def drain(file):
    while lines := file.readlines(1 << 20):
        if not lines[-1].endswith(b"\n"):
            # Half a line: the sink is writing, or has crashed and will cut it off.
            file.seek(-len(lines.pop()), os.SEEK_CUR)
        if not lines:
            return
        place = {"inode": os.fstat(file.fileno()).st_ino, "offset": file.tell()}
        store.take([json.loads(line) for line in lines], path, place)


while not os.path.exists(path):
    time.sleep(0.2)
place = store.place(path)
file = open_inode(place["inode"]) if place else open(path, "rb")
file.seek(place["offset"] if place else 0)
while True:
    # A new file under the name means that nothing more is written to this one; so look for that first, then read on.
    try:
        rotated = os.stat(path).st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        rotated = False
    drain(file)
    if rotated:
        file.close()
        file = open(path, "rb")
    else:
        time.sleep(0.2)
