import sys; sys.path.insert(0, "/work/main/tests")
PROF = """
import time, os, sys
start = time.process_time()
open('/tmp/x/prof', 'a').write(f'before main {start:.2f}\\n')
import a2d_cli.cli as cli
real = cli.main
def main():
    try: real()
    finally: open('/tmp/x/prof', 'a').write(f'end {time.process_time():.2f} {sys.argv[1:3]}\\n')
cli.main = main
"""
def test_p(a2d, prepared):
    for args in (["status"], ["train-teacher", "--set", "training.max_updates=2"], ["train-teacher", "--set", "training.max_updates=2"]):
        print(a2d.well(prepared, *args, before=PROF).err)
