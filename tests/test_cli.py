def test_x(a2d, taught):
    import time
    t = time.time(); e = a2d.well(taught, "status"); print(time.time() - t)
    print(e.out)
    t = time.time(); e = a2d.well(taught, "translate", stdin=(taught / "data/text/test.de").read_bytes()); print(time.time() - t)
    print((taught / "runs/teacher/train.log").read_text())
    print(a2d.error(taught, "translate", "--model", "teachr", code=2))
