"""A text that is shared among processes gives what one process makes of it; no process outlives its command."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, own_files, settings, write_language
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from small_tokenizers import KINDS, small_tokenizer

from a2d_cli.config.schema import Cleaning
from a2d_cli.data import corpus as corpus_module
from a2d_cli.data import tokenizer as tokenizer_module
from a2d_cli.data import workers
from a2d_cli.data.cleaning import Cleaner, Tally
from a2d_cli.data.corpus import write_corpus
from a2d_cli.data.decontamination import Decontamination
from a2d_cli.data.workers import map_chunks
from a2d_cli.errors import A2DError, ConfigError

few = given_settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

# So few that most stand several times, in several spellings.
SENTENCES = st.sampled_from(
    ["", "a", " a", "A", "\u200bb", "b", "zu\u0308g", "züg", "\x00", "c  d", "c d", "lang " * 251]
)
PAIRS = st.lists(st.tuples(SENTENCES, SENTENCES), max_size=23)


@dataclass(frozen=True)
class Sharing:
    """How a text is shared."""

    cores: int
    chunk_pairs: int
    alone_pairs: int

    @contextlib.contextmanager
    def in_threads(self):
        """With threads in place of processes: all is as it is with them, pipes too, but starts at once."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workers, "num_cores", lambda: self.cores)
            patch.setattr(workers, "CHUNK_PAIRS", self.chunk_pairs)
            patch.setattr(workers, "ALONE_PAIRS", self.alone_pairs)
            patch.setattr(workers, "_workers", _threads)
            yield


@contextlib.contextmanager
def _threads(function, number):
    pipes = [multiprocessing.Pipe() for _ in range(number)]
    threads = [threading.Thread(target=workers._work, args=(theirs,)) for _, theirs in pipes]
    for thread, (ours, _) in zip(threads, pipes, strict=True):
        thread.start()
        ours.send(function)
    try:
        yield [ours for ours, _ in pipes]
    finally:
        for ours, _ in pipes:
            ours.close()
        for thread in threads:
            thread.join()


@pytest.fixture
def no_fsync(monkeypatch):
    """No test here pulls the plug, and a slow disk makes each of some hundred calls wait."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


ONE_BY_ONE = Sharing(cores=1, chunk_pairs=1, alone_pairs=0)
SHARINGS = st.builds(Sharing, cores=st.integers(1, 3), chunk_pairs=st.integers(1, 7), alone_pairs=st.integers(0, 11))


# ── the same for any number of workers and chunks of any size ───────────────────────────────────────────────


@few
@given(st.lists(PAIRS, min_size=1, max_size=2), SHARINGS, st.booleans())
def test_cleaning(texts, sharing, drop_duplicates):
    def clean():
        cleaner, tallies = Cleaner(Cleaning(drop_duplicates=drop_duplicates)), [Tally() for _ in texts]
        kept = [list(cleaner.clean(pairs, tally)) for pairs, tally in zip(texts, tallies, strict=True)]
        return kept, json.dumps([tally.as_dict() for tally in tallies])

    with ONE_BY_ONE.in_threads():
        expected = clean()
    with sharing.in_threads():
        assert clean() == expected


@few
@given(PAIRS, PAIRS, PAIRS, PAIRS, SHARINGS)
def test_decontamination(train, valid, test, reduced, sharing):
    def decontaminate():
        work = Decontamination(valid, {"test": test, "reduced": reduced}, ["reduced"])
        kept = list(work.filter(train))
        tallies = [work.train_tally, work.valid_tally, work.test_tallies["reduced"]]
        return kept, work.held_out(), json.dumps([tally.as_dict() for tally in tallies])

    with ONE_BY_ONE.in_threads():
        expected = decontaminate()
    with sharing.in_threads():
        assert decontaminate() == expected


@few
@given(PAIRS, SHARINGS, st.sampled_from(KINDS))
def test_ids(tmp_path, no_fsync, pairs, sharing, kind):
    def encode(folder):
        paths = write_corpus(folder, "train", ("de", "en"), pairs, "digest", small_tokenizer(kind))
        return {path.name: path.read_bytes() for path in paths}

    with ONE_BY_ONE.in_threads():
        expected = encode(tmp_path / "one")
    with sharing.in_threads():
        assert encode(tmp_path / "shared") == expected
    assert len(expected) == 5


def test_a_workers_tokenizer_takes_one_thread():
    assert tokenizer_module._num_threads(range(corpus_module._ONE_THREAD_LINES)) == 1


# ── the map itself ──────────────────────────────────────────────────────────────────────────────────────────


def numbers(pairs):
    """Later chunks are done sooner."""
    time.sleep(0.02 / (1 + int(pairs[0][0])))
    return [int(src) for src, _ in pairs]


@pytest.mark.parametrize("cores", [2, 3])
def test_results_come_in_order_and_few_chunks_are_on_their_way(cores):
    num_read = 0

    def pairs():
        nonlocal num_read
        for i in range(67):
            num_read += 1
            yield str(i), ""

    returned = []
    with (
        Sharing(cores, chunk_pairs=5, alone_pairs=10).in_threads(),
        contextlib.closing(map_chunks(numbers, pairs())) as chunks,
    ):
        for chunk, result in chunks:
            assert num_read - len(returned) <= 5 * (cores + 2)
            assert result == [int(src) for src, _ in chunk]
            returned += result
    assert returned == list(range(67))


def refuse_13(pairs):
    if ("13", "") in pairs:
        raise ConfigError("13: no number", "take 12")


@pytest.mark.parametrize("cores", [1, 2])
def test_an_error_is_the_same_wherever_it_happens(cores):
    pairs = [(str(i), "") for i in range(67)]
    with Sharing(cores, chunk_pairs=5, alone_pairs=0).in_threads(), pytest.raises(ConfigError) as caught:
        list(map_chunks(refuse_13, pairs))
    error = caught.value
    assert (error.message, error.hint, error.exit_code) == ("13: no number", "take 12", 2)
    assert cores == 1 or "in refuse_13" in str(error.__cause__)  # for whoever looks for a bug


def test_an_error_of_the_text_ends_the_workers():
    def pairs():
        yield from [("1", "")] * 29
        raise A2DError("the sides differ")

    before = threading.active_count()
    with Sharing(2, chunk_pairs=5, alone_pairs=0).in_threads(), pytest.raises(A2DError, match="the sides differ"):
        list(map_chunks(numbers, pairs()))
    assert threading.active_count() == before


def test_it_can_be_closed_before_its_end():
    before = threading.active_count()
    with Sharing(2, chunk_pairs=5, alone_pairs=0).in_threads():
        chunks = map_chunks(numbers, [("1", "")] * 67)
        next(chunks)
        assert threading.active_count() > before
        chunks.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(("cores", "num_pairs"), [(2, workers.ALONE_PAIRS), (1, workers.ALONE_PAIRS + 1)])
def test_a_small_text_and_a_single_core_start_no_process(monkeypatch, cores, num_pairs):
    monkeypatch.setattr(workers, "num_cores", lambda: cores)
    monkeypatch.setattr(workers, "_workers", None)
    assert sum(result for _, result in map_chunks(len, [("", "")] * num_pairs)) == num_pairs


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────


def end_at_13(pairs):
    if ("13", "") in pairs:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_told(monkeypatch):
    monkeypatch.setattr(workers, "num_cores", lambda: 2)
    monkeypatch.setattr(workers, "ALONE_PAIRS", 0)
    monkeypatch.setattr(workers, "CHUNK_PAIRS", 5)
    with pytest.raises(A2DError, match=r"a part of the text was killed.*want of memory.*run the same command again"):
        list(map_chunks(end_at_13, [(str(i), "") for i in range(67)]))
    assert multiprocessing.active_children() == []


# Asks each worker for the signals that it does not hear.
FIRST_PROCESSES = """
import signal
from functools import partial
from a2d_cli.data import workers
workers.ALONE_PAIRS, workers.CHUNK_PAIRS = 0, 1
workers.num_cores = lambda: 2
deaf_to = partial(signal.pthread_sigmask, signal.SIG_BLOCK)
print([signal.SIGINT in found for _, found in workers.map_chunks(deaf_to, [signal.SIGTERM] * 3)])
"""


def test_the_first_process_that_is_ever_started_is_deaf_to_ctrl_c_too():
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PROCESSES],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[True, True, True]\n"


# The command sleeps where it has just started its workers, or has given them work; a terminal's Ctrl-C goes to all.
SLEEPING = """
import multiprocessing, os, time
from a2d_cli.data import workers
os.setpgid(0, 0)
workers.ALONE_PAIRS, workers.CHUNK_PAIRS = 0, 17
workers.num_cores = lambda: 2
def sleep(*_):
    with open("asleep.tmp", "w") as file:
        print(os.getpid(), *(process.pid for process in multiprocessing.active_children()), file=file)
    os.rename("asleep.tmp", "asleep")
    time.sleep(600)
workers.{name} = sleep
"""


@pytest.mark.parametrize("name", ["_send", "_receive"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_command_and_say_nothing(a2d, tmp_path, name, number):
    write_language(tmp_path, {"train": 211, "valid": 13, "test": 17})
    command = ["prepare", *own_files(tmp_path), "--pair", "de-en", *settings({"tokenizer.vocab_size": 80})]
    running = a2d.start(tmp_path, *command, before=SLEEPING.format(name=name))
    while running.is_alive and not (tmp_path / "asleep").exists():
        time.sleep(0.005)
    command, *worker_processes = [int(word) for word in (tmp_path / "asleep").read_text().split()]
    assert len(worker_processes) == 2
    for worker in worker_processes:
        os.kill(worker, signal.SIGINT)
    time.sleep(0.3)  # if one heard it, it would end now and say so
    heard = [worker for worker in worker_processes if not is_running(worker)]
    if number == signal.SIGINT:
        os.killpg(command, number)
    else:
        running.kill(number)
    ended = running.wait(10)
    assert ended.code == (130 if number == signal.SIGINT else -number)
    deadline = time.monotonic() + 10
    while any(is_running(worker) for worker in worker_processes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert heard == []
    said = running.err_path.read_text(encoding="utf-8")
    assert "Traceback" not in said and said.count("stopped; what is finished is kept") == (number == signal.SIGINT)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat")
        return (
            not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
        )  # nobody's child is left over
    except (ProcessLookupError, FileNotFoundError):
        return False
