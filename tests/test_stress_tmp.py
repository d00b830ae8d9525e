import sys, signal, time, shutil, random
from pathlib import Path
from test_distributed import start_ranks, settings, SHORT
def test_stress(a2d, project, tmp_path):
    command = ["train-teacher", *settings({**SHORT, "teacher.dropout": 0.1,"training.max_updates": 60})]
    for i in range(60):
        p = Path(shutil.copytree(project, tmp_path / str(i)))
        ranks = start_ranks(a2d, 2, p, *command)
        metrics = p / "runs" / "teacher" / "metrics.jsonl"
        while ranks[0].is_alive and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.01)
        time.sleep(0)
        ranks[1].kill(signal.SIGTERM)
        t=time.time()
        while any(r.is_alive for r in ranks) and time.time()-t<40: time.sleep(.1)
        print(i, [r.is_alive for r in ranks], [r.wait().code for r in ranks if not r.is_alive], round(time.time()-t,1), flush=True)
        if any(r.is_alive for r in ranks):
            for r in ranks: print("ERR", r.err_path.read_text())
            raise SystemExit
